# SPDX-License-Identifier: Apache-2.0
"""Recorded frames through real workers to names: none lost, none twice, also when workers are killed."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy
import pytest
import torch

import splitnet
from common.aws_client import aws_client
from video_faces import cloud, measure, people
from video_faces.cloud import Cloud
from video_faces.faces import Frame
from video_faces.gallery import Gallery
from video_faces.people import CALLER
from video_faces.pipeline import LATE_S, Pipeline, SeenFrame
from video_faces.placing import Networks, Sessions
from video_faces.recorder import RecordedFrame, Recorder
from video_faces.records import Records
from video_faces.video import Video


def check_all_are_named(seen: list[SeenFrame], numbers: Iterable[int]) -> None:
    assert sorted(one.number for one in seen) == list(numbers)
    for one in seen:
        assert not one.error and [face.name for face in one.faces] == [CALLER], one.number
        record = one.faces[0].record
        assert record is not None and record.major == "Telecommunications"
        assert 0 < one.latency_s <= one.age_s


def test_each_frame_is_answered_once(
    started: Cloud, networks: Networks, gallery: Gallery, records: Records, clip: str
) -> None:
    """The device only sends pictures; both networks run on the workers."""
    seen: list[SeenFrame] = []
    with (
        measure.on_workers(started, networks, "up=50Mbit,down=50Mbit,delay=5ms", deadline_s=60) as sessions,
        Video(clip) as video,
        Recorder(video, frames_per_chunk=3, in_real_time=False) as recorder,
    ):
        Pipeline(sessions, gallery, records, seen.append).run(recorder.chunks())
        assert sessions.detector.stats.finished_here == sessions.descriptor.stats.finished_here == 0
    check_all_are_named(seen, [15 * chunk + at for chunk in range(8) for at in (2, 7, 12)])
    assert not any(one.finished_here for one in seen) and {one.finished_by_workers for one in seen} == {2}
    assert records.reads == 1


@pytest.mark.parametrize("killed", [1, 2])
def test_a_killed_worker_loses_nothing(
    networks: Networks, models: Path, gallery: Gallery, clip: str, killed: int
) -> None:
    """One of two: the other goes on. Both: the device does the rest."""
    seen: list[SeenFrame] = []
    with cloud.started(networks, "tcp", 2, models) as running:
        records = running.records()
        for record in people.RECORDS:
            records.put(record)

        def show(one: SeenFrame) -> None:
            seen.append(one)
            if len(seen) == 6:
                for worker in running.workers[:killed]:
                    worker.kill()

        with (
            measure.on_workers(running, networks, "", deadline_s=30) as sessions,
            Video(clip) as video,
            Recorder(video, frames_per_chunk=3, in_real_time=False) as recorder,
        ):
            Pipeline(sessions, gallery, records, show).run(recorder.chunks())
    check_all_are_named(seen, [15 * chunk + at for chunk in range(8) for at in (2, 7, 12)])
    assert all(worker.poll() for worker in running.workers[:killed])
    assert (sum(one.finished_here for one in seen) > 0) == (killed == 2)


def frames_of(pictures: Iterable[cv2.typing.MatLike]) -> list[RecordedFrame]:
    return [
        RecordedFrame(number, 0.0, 0.0, cv2.imencode(".jpg", picture)[1].tobytes())
        for number, picture in enumerate(pictures)
    ]


def test_frames_of_any_size_are_looked_at(
    here: Sessions,
    gallery: Gallery,
    records: Records,
    frames: list[Frame],
) -> None:
    """The same frame, larger and smaller, and a black one between them."""
    caller = numpy.ascontiguousarray(frames[7][:, :, ::-1])
    pictures = [
        cv2.resize(caller, (704, 576)),
        numpy.zeros((3, 5, 3), numpy.uint8),
        caller,
        cv2.resize(caller, (352, 288)),
    ]
    seen: list[SeenFrame] = []
    Pipeline(here, gallery, records, seen.append).run([frames_of(pictures)])
    names = {one.number: [face.name for face in one.faces] for one in seen}
    assert names == {0: [CALLER], 1: [], 2: [CALLER], 3: [CALLER]}
    large = next(one for one in seen if one.number == 0).faces[0].box
    small = next(one for one in seen if one.number == 2).faces[0].box
    assert large.right == pytest.approx(4 * small.right, rel=0.1)
    assert all(one.is_late == (one.latency_s > LATE_S) for one in seen)


def test_so_many_are_under_way_and_no_more(here: Sessions, gallery: Gallery, records: Records, clip: str) -> None:
    """While the frames that were answered are not shown, no more than that many are taken from the recorder."""
    goes_on, given = threading.Event(), 0

    def counted(chunks: Iterator[list[RecordedFrame]]) -> Iterator[list[RecordedFrame]]:
        nonlocal given
        for chunk in chunks:
            for frame in chunk:
                given += 1
                yield [frame]

    seen: list[SeenFrame] = []

    def show(one: SeenFrame) -> None:
        goes_on.wait(60)
        seen.append(one)

    with Video(clip) as video, Recorder(video, frames_per_chunk=4, in_real_time=False) as recorder:
        pipeline = Pipeline(here, gallery, records, show, max_in_flight=4)
        runs = threading.Thread(target=pipeline.run, args=(counted(recorder.chunks()),))
        runs.start()
        recorder._thread.join()
        assert recorder.recorded == 120, "the recorder goes on"
        runs.join(1.0)
        assert given <= 5 and not seen
        goes_on.set()
        runs.join()
    assert len(seen) == given == 32


def test_a_pass_that_fails_is_shown_as_an_error(
    networks: Networks,
    gallery: Gallery,
    records: Records,
    frames: list[Frame],
) -> None:
    sessions = Sessions(
        splitnet.Session(networks.detector, threads=1), splitnet.Session(networks.descriptor, threads=1)
    )
    sessions.descriptor.close()
    seen: list[SeenFrame] = []
    Pipeline(sessions, gallery, records, seen.append).run([frames_of([frames[0][:, :, ::-1]])])
    sessions.close()
    assert len(seen) == 1 and seen[0].error and not seen[0].faces


class Other(torch.nn.Module):
    """No detector: what it answers has no boxes to be read from."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x).mean(dim=1)


def test_an_answer_that_is_no_detectors_is_shown_as_an_error(
    here: Sessions, gallery: Gallery, records: Records, frames: list[Frame]
) -> None:
    """More frames than may be under way: each gives its place back."""
    other = splitnet.Partitioner(torch.jit.script(Other()), [torch.rand(1, 3, 192, 192)])
    seen: list[SeenFrame] = []
    with splitnet.Session(other, threads=1) as detector:
        sessions = Sessions(detector, here.descriptor)
        Pipeline(sessions, gallery, records, seen.append, max_in_flight=2).run([frames_of([frames[0][:, :, ::-1]] * 4)])
    assert [(one.number, one.faces) for one in sorted(seen, key=lambda one: one.number)] == [
        (at, []) for at in range(4)
    ]
    assert all("shape" in one.error for one in seen)


def test_records_that_can_not_be_read_are_said_and_names_stay(
    here: Sessions,
    gallery: Gallery,
    started: Cloud,
    frames: list[Frame],
) -> None:
    missing = Records(aws_client("dynamodb", started.aws.environment), "nowhere")
    seen: list[SeenFrame] = []
    Pipeline(here, gallery, missing, seen.append).run([frames_of([frames[0][:, :, ::-1]])])
    assert seen[0].faces[0].name == CALLER and "no record: " in seen[0].error


def test_what_the_list_raises_ends_the_run(here: Sessions, gallery: Gallery, records: Records, clip: str) -> None:
    def show(one: SeenFrame) -> None:
        raise RuntimeError("the terminal is gone")

    with (
        Video(clip) as video,
        Recorder(video, in_real_time=False) as recorder,
        pytest.raises(RuntimeError, match="the terminal is gone"),
    ):
        Pipeline(here, gallery, records, show).run(recorder.chunks())


def test_a_signal_ends_the_run_and_what_was_under_way_is_shown(
    here: Sessions, gallery: Gallery, records: Records, clip: str
) -> None:
    """As Ctrl-C does, in the middle of a clip that goes round for ever."""

    def end(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    seen: list[SeenFrame] = []

    def show(one: SeenFrame) -> None:
        seen.append(one)
        if len(seen) == 20:
            os.kill(os.getpid(), signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, end)
    try:
        with (
            Video(clip, repeats=True) as video,
            Recorder(video, in_real_time=False) as recorder,
            pytest.raises(SystemExit) as ended,
        ):
            Pipeline(here, gallery, records, show).run(recorder.chunks())
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert ended.value.code == 128 + signal.SIGUSR1
    assert 20 <= len(seen) < 120 and len({one.number for one in seen}) == len(seen)
