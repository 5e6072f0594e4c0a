# SPDX-License-Identifier: Apache-2.0
"""The figures of the example: recordings of the clip, a worker that is killed, where the networks may run, who is recognised."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import splitnet
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
        gallery = people.enroll(here, models)
        cloud.save_gallery(gallery)
        gallery = cloud.load_gallery()
        other_photos = people.recognised_photos(here, gallery, models)
        strangers = people.strangers_named(here, gallery, models)
    records = cloud.records()
    for record in people.RECORDS:
        records.put(record)
    endpoints = cloud.through(link)
    say(f"planning for {link or 'this machine'}")
    calibration = placing.calibrated(networks, models)
    plans = {
        name: placing.make_plan(part, endpoints[name], calibration[name]) for name, part in networks.by_name().items()
    }
    say("measuring where each network may run")
    ways = _ways(cloud, networks, plans, "this machine", rounds)
    clip = str(models / "video_faces/caller.mp4")
    runs = []
    with _as_planned(cloud, networks, plans, link) as sessions:
        say("recording the clip in real time, as planned")
        with Video(clip) as video:
            runs.append(
                record_and_name(video, sessions, gallery, records, "as planned", frames_per_chunk=frames_per_chunk)
            )
        say("recording every frame as fast as it goes, as planned")
        with Video(clip) as video:
            runs.append(
                record_and_name(
                    video, sessions, gallery, records, "every frame", frames_per_chunk=0, in_real_time=False
                )
            )
        say("recording the clip without faces")
        faces: list[int] = []
        with Video(str(models / "video_faces/bikes.mp4")) as video:
            no_faces = record_and_name(
                video,
                sessions,
                gallery,
                records,
                "no faces",
                frames_per_chunk=0,
                in_real_time=False,
                show=lambda one: faces.append(len(one.faces)),
            )
    if isinstance(slow, SlowDevice):
        say("the same on a device that is slower")
        profiles = full_speed_profiles(networks)
        with slow:
            plans_there = {
                name: plan_of_small_device(part, endpoints[name], calibration[name], profiles[name])
                for name, part in networks.by_name().items()
            }
            ways += _ways(cloud, networks, plans_there, SPEED_IN_WORDS, rounds)
            with _as_planned(cloud, networks, plans_there, link) as sessions, Video(clip) as video:
                runs.append(
                    record_and_name(
                        video, sessions, gallery, records, "small device", frames_per_chunk=frames_per_chunk
                    )
                )
        plans |= {f"{name}, {SPEED_IN_WORDS}": plan for name, plan in plans_there.items()}
    say("the same with everything on the workers, one of which is killed")
    runs.append(_with_a_killed_worker(cloud, networks, gallery, records, link, clip, frames_per_chunk))
    return Measured(
        transport=transport,
        link=link,
        workers=len(cloud.workers),
        plans={name: plan.explain(12) for name, plan in plans.items()},
        ways=ways,
        runs=runs,
        no_faces=no_faces,
        faces_where_none_are=sum(faces),
        people=len(gallery.people),
        pictures_enrolled=len(gallery.names),
        other_photos=other_photos,
        strangers=strangers,
        record_reads=records.reads,
        no_small_device="" if isinstance(slow, SlowDevice) else slow,
    )


def _ways(
    cloud: Cloud, networks: Networks, plans: dict[str, splitnet.TwoTierPlan], device: str, rounds: int
) -> list[Way]:
    return [
        way
        for name, part in networks.by_name().items()
        for way in measured_ways(device, name, part, plans[name], cloud.wire_share(), rounds)
    ]


@contextmanager
def _as_planned(
    cloud: Cloud, networks: Networks, plans: dict[str, splitnet.TwoTierPlan], link: str
) -> Iterator[Sessions]:
    opened = [placing.open_planned(part, plans[name], cloud.spares(link)) for name, part in networks.by_name().items()]
    with Sessions(*opened) as sessions:
        yield sessions


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
            )
            for name, part in networks.by_name().items()
        )
    )


def _with_a_killed_worker(
    cloud: Cloud, networks: Networks, gallery: Gallery, records: Records, link: str, clip: str, frames_per_chunk: int
) -> RunFigures:
    count = 0

    def kill_one(_: SeenFrame) -> None:
        nonlocal count
        count += 1
        if count == 10 and cloud.workers:
            cloud.workers[0].kill()

    with on_workers(cloud, networks, link) as sessions, Video(clip) as video:
        return record_and_name(
            video,
            sessions,
            gallery,
            records,
            "a worker killed" if cloud.workers else "on the workers",
            frames_per_chunk=frames_per_chunk,
            show=kill_one,
        )
