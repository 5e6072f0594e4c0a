# SPDX-License-Identifier: Apache-2.0
"""What is no video is named; damaged ones give what can be read; sizes may change."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy
import pytest

from video_faces.faces import Frame
from video_faces.tests.sources import Camera, write_avi_without_frames
from video_faces.video import LONGEST_SIDE, Video, VideoError, paced


def test_frames_come_in_red_green_blue(clip: str, frames: list[Frame]) -> None:
    """The caller's skin is red rather than blue."""
    assert len(frames) == 120 and frames[0].shape == (144, 176, 3)
    face = frames[0][40:90, 65:110].reshape(-1, 3).mean(0)
    assert face[0] > face[2] + 10
    with Video(clip) as video:
        assert video.frame_rate == pytest.approx(29.97, abs=0.01) and video.promised_frames == 120


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "found an empty file"),
        (b"no video at all " * 1000, "which can't be opened, expected a video"),
        (b"\x00" * 5000, "which can't be opened, expected a video"),
        (b"%PDF-1.4\n" + bytes(range(256)) * 50, "which can't be opened, expected a video"),
    ],
)
def test_a_file_that_is_no_video_is_named(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(content)
    with pytest.raises(VideoError) as refused:
        Video(str(path))
    assert words in str(refused.value) and str(path) in str(refused.value)


@pytest.mark.parametrize("source", ["/nowhere/film.mp4", "/", ""])
def test_a_file_that_is_not_there_is_named(source: str) -> None:
    with pytest.raises(VideoError, match="found no file"):
        Video(source)


def test_a_camera_that_is_not_there_is_named() -> None:
    with pytest.raises(VideoError, match="found camera 83, which can't be opened, expected a camera"):
        Video("83")


def test_frames_of_a_camera_come_in_their_order(camera: Camera) -> None:
    camera.gives = [True] * 5
    with Video("0") as video:
        assert video.is_camera and video.frame_rate == 25.0 and not video.promised_frames
        frames = video.frames()
        assert [int(next(frames)[0, 0, 0]) for _ in range(5)] == [0, 1, 2, 3, 4]
    assert camera.is_released


def test_a_camera_may_have_gaps(camera: Camera) -> None:
    """Each shorter than what it takes to be gone; together they are longer."""
    camera.gives = [True, *[False] * 30, True, *[False] * 30, True]
    with Video("0") as video:
        frames = video.frames()
        assert [int(next(frames)[0, 0, 0]) for _ in range(3)] == [0, 1, 2]


def test_a_camera_that_has_gone_is_named(camera: Camera) -> None:
    camera.gives = [True] * 3
    with Video("0") as video, pytest.raises(VideoError, match="camera 0 gives no more frames, after 3"):
        list(video.frames())


@pytest.mark.parametrize("is_there", [False, True], ids=["removed", "without frames"])
def test_a_repeated_file_that_goes_away_is_named(clip: str, tmp_path: Path, is_there: bool) -> None:
    film = tmp_path / "film.avi"
    shutil.copy(clip, film)
    with Video(str(film), repeats=True) as video:
        frames = video.frames()
        next(frames)
        film.unlink()
        if is_there:
            write_avi_without_frames(film)
        count = 1
        with pytest.raises(VideoError, match=r"film.avi can't be read any more, after 120 frames"):
            for _ in frames:
                count += 1
    assert count == 120


def test_of_a_truncated_video_comes_what_can_be_read(clip: str, tmp_path: Path) -> None:
    """With its index in front, as streams have it: an MP4 whose index is lost is no video any more."""
    half = tmp_path / "half.avi"
    writer = cv2.VideoWriter(str(half), cv2.VideoWriter.fourcc(*"MJPG"), 30, (176, 144))
    with Video(clip) as video:
        for frame in video.frames():
            writer.write(numpy.ascontiguousarray(frame[:, :, ::-1]))
    writer.release()
    whole = half.read_bytes()
    half.write_bytes(whole[: len(whole) // 2])
    with Video(str(half)) as video:
        count = sum(1 for _ in video.frames())
    assert 20 < count < 100


def test_a_truncated_mp4_is_named(clip: str, tmp_path: Path) -> None:
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(Path(clip).read_bytes()[:2000])
    with pytest.raises(VideoError, match=r"cut.mp4"), Video(str(cut)) as video:
        list(video.frames())


def test_damaged_bytes_end_in_frames_or_in_words(clip: str, tmp_path: Path) -> None:
    random = numpy.random.default_rng(5)
    data = numpy.frombuffer(Path(clip).read_bytes(), numpy.uint8)
    for number in range(6):
        damaged = data.copy()
        damaged[random.integers(0, len(data), 40)] ^= 0xFF
        path = tmp_path / f"damaged{number}.mp4"
        path.write_bytes(damaged.tobytes())
        try:
            with Video(str(path)) as video:
                assert all(frame.ndim == 3 and frame.shape[2] == 3 for frame in video.frames())
        except VideoError as error:
            assert str(path) in str(error)


def test_of_a_stream_whose_sizes_change_no_frame_is_left_out(tmp_path: Path) -> None:
    """A stream of JPEGs, as some cameras give: OpenCV gives all of them the size of the first."""
    stream = tmp_path / "sizes.mjpeg"
    pictures = [numpy.full((height, width, 3), 90, numpy.uint8) for width, height in ((64, 48), (320, 240), (32, 96))]
    stream.write_bytes(b"".join(cv2.imencode(".jpg", picture)[1].tobytes() for picture in pictures for _ in range(3)))
    with Video(str(stream)) as video:
        assert [frame.shape for frame in video.frames()] == [(48, 64, 3)] * 9


def test_large_frames_are_made_smaller(tmp_path: Path) -> None:
    stream = tmp_path / "large.mjpeg"
    stream.write_bytes(cv2.imencode(".jpg", numpy.zeros((1500, 3000, 3), numpy.uint8))[1].tobytes() * 3)
    with Video(str(stream)) as video:
        frame = next(video.frames())
    assert frame.shape == (LONGEST_SIDE // 2, LONGEST_SIDE, 3)


def test_pacing_does_not_fall_behind_for_ever() -> None:
    """Who took his time gets the frames that are due at once."""
    frames = [numpy.zeros((2, 2, 3), numpy.uint8)] * 5
    assert len(list(paced(iter(frames), 1000.0))) == 5
