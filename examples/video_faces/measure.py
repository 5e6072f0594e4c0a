# SPDX-License-Identifier: Apache-2.0
"""The figures of the example: recordings of the clip, a worker that is killed, where the networks may run, who is recognised."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import splitnet
from common.worker_token import worker_token
from picks.slow_device import SlowDevice
from video_faces import people, placing
from video_faces.cloud import Cloud
from video_faces.gallery import Gallery
from video_faces.live import Latencies
from video_faces.people import CALLER, ENROLLED_EVERY, Figures
from video_faces.pipeline import Pipeline, SeenFrame
from video_faces.placing import Networks, Sessions
from video_faces.recorder import Recorder
from video_faces.records import Records
from video_faces.small_device import SPEED_IN_WORDS, full_speed_profiles, plan_of_small_device, small_device
from video_faces.video import Video
from video_faces.ways import Way, measured_ways

DEADLINE_S = 10.0  #: What workers have not done by then, the device does.
#: How the picture itself is sent where a worker does everything: bytes, no loss.
PICTURE_CODEC = "u8:mean=0,0,0;std=1,1,1"

_NO_FACES = "no faces"
MIN_RECOGNISED = 0.9  #: Of the clip's frames.
MIN_PHOTOS_RIGHT = 0.68  #: The best of what the system that this follows reports.
MIN_STRANGERS_UNKNOWN = 0.9

Say = Callable[[str], None]


@dataclass(frozen=True)
class RunFigures:
    """Of one recording."""

    what: str
    recorded: int  #: Frames.
    sent: int  #: Of these, looked at.
    answered: int  #: Frames that were shown with an answer, each counted once.
    twice: int  #: Shown more than once.
    failed: int  #: Shown with an error.
    late: int  #: Answered after more than LATE_S.
    seconds: float  #: From the first frame until the last answer.
    longest_gap_s: float  #: Between two recorded frames: whether the recorder was held up.
    latency: Latencies  #: From when a frame could be sent until it had names.
    age: Latencies  #: From when it was recorded.
    to_be_named: int  #: Frames of the caller that were not enrolled.
    named: int  #: Of these, with his name and no other.
    misnamed: int  #: With somebody else's.
    finished_here: int  #: Passes of networks that this device finished.
    finished_by_workers: int  #: The others; 0: nothing was sent, and the latency is no round trip.
    in_real_time: bool

    @property
    def lost(self) -> int:
        return self.sent - self.answered - self.failed

    @property
    def frames_per_s(self) -> float:
        return self.answered / self.seconds

    @property
    def recognised(self) -> float:
        """Share."""
        return self.named / max(1, self.to_be_named)


@dataclass(frozen=True)
class Measured:
    """All of it."""

    transport: str
    link: str
    workers: int
    plans: dict[str, str]  #: The planner's explanation for each network.
    ways: list[Way]
    runs: list[RunFigures]
    no_faces: RunFigures  #: Of the clip without faces.
    faces_where_none_are: int
    people: int  #: In the gallery.
    pictures_enrolled: int
    other_photos: Figures  #: Of people of the gallery, which were not enrolled.
    strangers: Figures
    record_reads: int
    no_small_device: str  #: Why no slower device could be tried; empty: it was.

    def problems(self) -> list[str]:
        """What is wrong; times are not judged."""
        found = []
        for run in (*self.runs, self.no_faces):
            if run.lost or run.twice or run.failed or not run.answered:
                found.append(
                    f"{run.what}: {run.lost} lost, {run.twice} twice, {run.failed} failed of {run.sent} frames"
                )
        for run in self.runs:
            if run.recognised < MIN_RECOGNISED or run.misnamed:
                found.append(
                    f"{run.what}: {run.named} of {run.to_be_named} recognised, {run.misnamed} given another name"
                )
        if self.faces_where_none_are:
            found.append(f"{self.no_faces.what}: {self.faces_where_none_are} faces")
        if self.strangers.accuracy < MIN_STRANGERS_UNKNOWN:
            found.append(
                f"strangers: {self.strangers.wrong} of {self.strangers.faces} taken for somebody of the gallery"
            )
        if self.other_photos.wrong or self.other_photos.accuracy < MIN_PHOTOS_RIGHT:
            found.append(f"photos: {self.other_photos.right} of {self.other_photos.pictures} right")
        return found


def record_and_name(
    video: Video,
    sessions: Sessions,
    gallery: Gallery,
    records: Records,
    what: str,
    *,
    frames_per_chunk: int,
    in_real_time: bool = True,
    show: Callable[[SeenFrame], None] | None = None,
) -> RunFigures:
    """One recording from its beginning to its end. Raises what Recorder and Pipeline raise."""
    seen: list[SeenFrame] = []

    def keep(one: SeenFrame) -> None:
        seen.append(one)
        if show is not None:
            show(one)

    with Recorder(video, frames_per_chunk=frames_per_chunk, in_real_time=in_real_time) as recorder:
        begun_s = time.monotonic()
        Pipeline(sessions, gallery, records, keep).run(recorder.chunks())
        seconds = time.monotonic() - begun_s
    return _figures(what, recorder, seen, seconds, in_real_time)


def _figures(what: str, recorder: Recorder, seen: list[SeenFrame], seconds: float, in_real_time: bool) -> RunFigures:
    fresh = [one for one in seen if one.number % ENROLLED_EVERY]
    names = [[face.match.name for face in one.faces if face.match.name] for one in fresh]
    numbers = {one.number for one in seen}
    failed = {one.number for one in seen if one.error}
    return RunFigures(
        what=what,
        recorded=recorder.recorded,
        sent=recorder.kept,
        answered=len(numbers - failed),
        twice=len(seen) - len(numbers),
        failed=len(failed),
        late=sum(one.is_late for one in seen),
        seconds=seconds,
        longest_gap_s=recorder.longest_gap_s,
        latency=Latencies.of([one.latency_s for one in seen]),
        age=Latencies.of([one.age_s for one in seen]),
        to_be_named=len(fresh),
        named=sum(found == [CALLER] for found in names),
        misnamed=sum(any(name != CALLER for name in found) for found in names),
        finished_here=sum(one.finished_here for one in seen),
        finished_by_workers=sum(one.finished_by_workers for one in seen),
        in_real_time=in_real_time,
    )


def measure(
    cloud: Cloud,
    networks: Networks,
    *,
    transport: str,
    link: str,
    models: Path,
    frames_per_chunk: int,
    rounds: int,
    say: Say,
) -> Measured:
    """Everything, in some minutes. Raises splitnet.Error and what the parts raise."""
    slow = small_device(networks)
    say("enrolling, and naming photos")
    with placing.on_device(networks) as here:
        cloud.save_gallery(people.enroll(here, models))
        gallery = cloud.load_gallery()
        other_photos = people.recognised_photos(here, gallery, models)
        strangers = people.strangers_named(here, gallery, models)
    records = cloud.records()
    for record in people.RECORDS:
        records.put(record)
    measuring = _Measuring(cloud, networks, gallery, records, link, models, frames_per_chunk, rounds, say)
    measuring.as_theirs()
    measuring.every_frame_on_workers()
    measuring.as_planned()
    if isinstance(slow, SlowDevice):
        measuring.on_small_device(slow)
    measuring.with_a_killed_worker()
    *runs, no_faces = sorted(measuring.runs, key=lambda run: run.what == _NO_FACES)
    return Measured(
        transport=transport,
        link=link,
        workers=len(cloud.workers),
        plans=measuring.plans,
        ways=measuring.ways,
        runs=runs,
        no_faces=no_faces,
        faces_where_none_are=measuring.faces_where_none_are,
        people=len(gallery.people),
        pictures_enrolled=len(gallery.names),
        other_photos=other_photos,
        strangers=strangers,
        record_reads=records.reads,
        no_small_device="" if isinstance(slow, SlowDevice) else slow,
    )


class _Measuring:
    """What is measured, one thing after the other, and what was found so far."""

    def __init__(
        self,
        cloud: Cloud,
        networks: Networks,
        gallery: Gallery,
        records: Records,
        link: str,
        models: Path,
        frames_per_chunk: int,
        rounds: int,
        say: Say,
    ) -> None:
        self.plans: dict[str, str] = {}  #: Explained.
        self.ways: list[Way] = []
        self.runs: list[RunFigures] = []
        self.faces_where_none_are = 0
        self._cloud = cloud
        self._networks = networks
        self._gallery = gallery
        self._records = records
        self._link = link
        self._videos = models / "video_faces"
        self._frames_per_chunk = frames_per_chunk
        self._rounds = rounds
        self._say = say
        self._endpoints = cloud.through(link)
        self._calibration = placing.calibrated(networks, models)

    def as_theirs(self) -> None:
        """What the system that this follows does: one frame of each chunk, in real time, with all of it sent."""
        self._say("recording the clip in real time, one frame of each chunk, with everything on the workers")
        with on_workers(self._cloud, self._networks, self._link) as sessions:
            self._record(sessions, "as theirs", frames_per_chunk=1)

    def every_frame_on_workers(self) -> None:
        """The clip as fast as it goes, with all of it sent: whatever the plans say."""
        self._say("recording every frame as fast as it goes, with everything on the workers")
        with on_workers(self._cloud, self._networks, self._link) as sessions:
            self._record(sessions, "every frame, on the workers", every_frame=True)

    def as_planned(self) -> None:
        """The clip in real time and as fast as it goes, and the clip without faces."""
        self._say(f"planning for {self._link or 'this machine'}")
        plans = {
            name: placing.make_plan(part, self._endpoints[name], self._calibration[name])
            for name, part in self._networks.by_name().items()
        }
        self._measure_ways(plans, "this machine")
        with self._open(plans) as sessions:
            self._say("recording the clip in real time, as planned")
            self._record(sessions, "as planned")
            self._say("recording every frame as fast as it goes, as planned")
            self._record(sessions, "every frame, as planned", every_frame=True)
            self._say("recording the clip without faces")
            self._record(sessions, _NO_FACES, every_frame=True, clip="bikes.mp4", show=self._count_faces)

    def on_small_device(self, slow: SlowDevice) -> None:
        """The clip in real time on a device that is slower."""
        self._say("the same on a device that is slower")
        profiles = full_speed_profiles(self._networks)
        with slow:
            plans = {
                name: plan_of_small_device(part, self._endpoints[name], self._calibration[name], profiles[name])
                for name, part in self._networks.by_name().items()
            }
            self._measure_ways(plans, SPEED_IN_WORDS)
            with self._open(plans) as sessions:
                self._record(sessions, "small device")

    def with_a_killed_worker(self) -> None:
        """Everything on the workers, of which one is killed after ten frames; functions can't be."""
        self._say("the same with everything on the workers, one of which is killed")
        shown = itertools.count(1)

        def kill_one(_: SeenFrame) -> None:
            if next(shown) == 10 and self._cloud.workers:
                self._cloud.workers[0].kill()

        with on_workers(self._cloud, self._networks, self._link) as sessions:
            self._record(sessions, "a worker killed" if self._cloud.workers else "on the workers", show=kill_one)

    def _measure_ways(self, plans: dict[str, splitnet.TwoTierPlan], device: str) -> None:
        self._say(f"measuring where each network may run: {device}")
        for name, part in self._networks.by_name().items():
            self.plans[f"{name}, {device}"] = plans[name].explain(12)
            share = self._cloud.wire_share()
            self.ways += measured_ways(device, name, part, plans[name], share, self._rounds)

    def _open(self, plans: dict[str, splitnet.TwoTierPlan]) -> Sessions:
        spares = self._cloud.spares(self._link)
        parts = self._networks.by_name()
        return Sessions(*(placing.open_planned(part, plans[name], spares) for name, part in parts.items()))

    def _record(
        self,
        sessions: Sessions,
        what: str,
        *,
        frames_per_chunk: int | None = None,
        every_frame: bool = False,
        clip: str = "caller.mp4",
        show: Callable[[SeenFrame], None] | None = None,
    ) -> None:
        """`frames_per_chunk`: other than those of all runs; `every_frame`: all of them, as fast as it goes."""
        of_chunk = self._frames_per_chunk if frames_per_chunk is None else frames_per_chunk
        with Video(str(self._videos / clip)) as video:
            found = record_and_name(
                video,
                sessions,
                self._gallery,
                self._records,
                what,
                frames_per_chunk=0 if every_frame else of_chunk,
                in_real_time=not every_frame,
                show=show,
            )
        self.runs.append(found)

    def _count_faces(self, seen: SeenFrame) -> None:
        self.faces_where_none_are += len(seen.faces)


def on_workers(cloud: Cloud, networks: Networks, link: str, deadline_s: float = DEADLINE_S) -> Sessions:
    """The device only sends pictures and crops; what no worker does in time, it does itself."""
    endpoints = cloud.through(link)
    return Sessions(
        *(
            splitnet.Session(
                part,
                worker=endpoints[name],
                spare_workers=cloud.spares(link),
                cut=splitnet.Cut.at_input(),
                codec=PICTURE_CODEC,
                deadline_s=deadline_s,
                threads=1,
                token=worker_token(),
            )
            for name, part in networks.by_name().items()
        )
    )
