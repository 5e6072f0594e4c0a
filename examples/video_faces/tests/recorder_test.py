# SPDX-License-Identifier: Apache-2.0
"""Chunks of half a second, on disk until they are taken; the recorder goes on whatever becomes of them."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy
import pytest

from video_faces import recorder as recorder_module
from video_faces.faces import Frame
from video_faces.recorder import RecordedFrame, Recorder, spread
from video_faces.tests.sources import Camera, write_avi_without_frames
from video_faces.video import Video, VideoError


@pytest.mark.parametrize(
    ("count", "wanted", "which"),
    [
        (15, 1, [7]),
        (15, 5, [1, 4, 7, 10, 13]),
        (15, 15, list(range(15))),
        (3, 5, [0, 1, 2]),
        (2, 1, [1]),
        (15, 2, [3, 11]),
    ],
)
def test_the_frames_of_a_chunk_that_are_looked_at_are_evenly_apart(count: int, wanted: int, which: list[int]) -> None:
    assert spread(count, wanted) == which


def taken(recorder: Recorder) -> list[list[RecordedFrame]]:
    return list(recorder.chunks())


def test_every_frame_comes_in_chunks_of_half_a_second(clip: str, frames: list[Frame], tmp_path: Path) -> None:
    with Video(clip) as video, Recorder(video, in_real_time=False, folder=tmp_path) as recorder:
        chunks = taken(recorder)
        assert not list(tmp_path.rglob("*.jpegs"))
    assert [len(chunk) for chunk in chunks] == [15] * 8
    flat = [frame for chunk in chunks for frame in chunk]
    assert [frame.number for frame in flat] == list(range(120))
    assert (recorder.recorded, recorder.kept) == (120, 120)
    difference = numpy.abs(flat[60].pixels().astype(int) - frames[60].astype(int))
    assert flat[60].pixels().shape == frames[60].shape and difference.mean() < 3
    assert not list(tmp_path.iterdir())


def test_some_frames_of_each_chunk_are_kept(clip: str) -> None:
    with Video(clip) as video, Recorder(video, frames_per_chunk=2, in_real_time=False) as recorder:
        numbers = [frame.number for chunk in taken(recorder) for frame in chunk]
    assert numbers == [15 * chunk + at for chunk in range(8) for at in (3, 11)]
    assert (recorder.recorded, recorder.kept) == (120, 16)


def test_it_goes_on_while_nobody_takes_what_it_has(clip: str, tmp_path: Path) -> None:
    """All of the recording is on disk before the first chunk is taken, then it comes whole."""
    with Video(clip) as video, Recorder(video, in_real_time=False, folder=tmp_path) as recorder:
        recorder._thread.join()
        assert recorder.recorded == 120
        waiting = sum(path.stat().st_size for path in tmp_path.rglob("*.jpegs"))
        assert waiting == recorder.most_waiting_bytes > 100_000
        assert sum(len(chunk) for chunk in taken(recorder)) == 120


def test_real_time_is_the_clips(clip: str) -> None:
    """A second of it takes no less than the 29 steps between its 30 frames, and chunks come before the end."""
    flat: list[RecordedFrame] = []
    with Video(clip) as video, Recorder(video) as recorder:
        for chunk in recorder.chunks():
            flat += chunk
            if len(flat) == 30:
                recorder.stop()
    assert flat[29].recorded_s - flat[0].recorded_s >= 28 / 29.97
    assert flat[0].ready_s < flat[29].recorded_s
    assert all(frame.recorded_s <= frame.ready_s for frame in flat)


def test_the_disk_is_bounded(clip: str, tmp_path: Path) -> None:
    with (
        Video(clip) as video,
        Recorder(video, in_real_time=False, max_waiting_bytes=300_000, folder=tmp_path) as recorder,
    ):
        recorder._thread.join()
        given: list[list[RecordedFrame]] = []
        with pytest.raises(OSError, match="wait to be sent, expected at most 300000"):
            given.extend(recorder.chunks())
    assert given, "what was recorded before comes all the same"


def test_a_full_disk_ends_it_and_what_was_recorded_before_comes(clip: str, tmp_path: Path) -> None:
    """The second chunk goes to the kernel's device that is always full."""
    with Video(clip) as video:
        recorder = Recorder(video, in_real_time=False, folder=tmp_path)
        (recorder._folder / "000000015.jpegs").symlink_to("/dev/full")
        given: list[list[RecordedFrame]] = []
        with recorder, pytest.raises(OSError) as ended:
            given.extend(recorder.chunks())
    assert ended.value.errno == errno.ENOSPC
    assert [frame.number for chunk in given for frame in chunk] == list(range(15))
    assert not list(tmp_path.iterdir())


def test_stopping_ends_it_with_what_it_has(clip: str) -> None:
    with Video(clip, repeats=True) as video, Recorder(video, in_real_time=False) as recorder:
        count = 0
        for chunk in recorder.chunks():
            count += len(chunk)
            if count > 200:  # More than the clip has: it began again.
                recorder.stop()
    assert count == recorder.kept == recorder.recorded > 200


def test_a_camera_has_its_own_time(camera: Camera, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says one frame a second, whatever it gives: it is not waited for."""
    camera.rate, camera.gives = 1.0, [True] * 3
    monkeypatch.setattr(recorder_module, "paced", lambda *_: pytest.fail("kept a camera waiting"))
    given: list[list[RecordedFrame]] = []
    with Video("0") as video, Recorder(video) as recorder, pytest.raises(VideoError, match="camera 0 gives no more"):
        given.extend(recorder.chunks())
    assert [frame.number for chunk in given for frame in chunk] == [0, 1, 2], "what came before is there"


def test_closing_ends_a_recording_that_nobody_takes(clip: str, tmp_path: Path) -> None:
    with Video(clip, repeats=True) as video:
        recorder = Recorder(video, folder=tmp_path)
        recorder.start()
        recorder.close()
    assert not recorder._thread.is_alive() and not list(tmp_path.iterdir())


def test_who_takes_chunks_hears_what_ended_the_recording(tmp_path: Path) -> None:
    empty = tmp_path / "no_frames.avi"
    write_avi_without_frames(empty)
    with Video(str(empty)) as video, Recorder(video) as recorder, pytest.raises(VideoError, match="without a frame"):
        taken(recorder)
