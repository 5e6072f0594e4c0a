# SPDX-License-Identifier: Apache-2.0
"""Faces are found in real photos, boxes are those of the frame, crops are squares."""

from __future__ import annotations

from pathlib import Path

import numpy
import pytest
import torch

from video_faces import faces
from video_faces.faces import Box, Frame
from video_faces.placing import PHOTO_SIDE, Sessions
from video_faces.video import Video, read_photo

BLACK: Frame = numpy.zeros((240, 320, 3), numpy.uint8)


def found(here: Sessions, frame: Frame, side: int) -> list[Box]:
    head = here.detector(faces.detector_input(frame, side))
    return faces.boxes_in(head, frame.shape[1], frame.shape[0], side)


@pytest.mark.parametrize(
    ("photo", "persons", "seen"),
    # Some look away or down: a detector for faces from the front doesn't see them.
    [("sample1", 3, 3), ("sample2", 3, 1), ("sample3", 3, 3), ("sample4", 4, 3), ("sample5", 5, 5), ("sample6", 4, 4)],
)
def test_faces_of_photos_are_found(here: Sessions, models: Path, photo: str, persons: int, seen: int) -> None:
    boxes = found(here, read_photo(models / f"video_faces/strangers/{photo}.jpg"), PHOTO_SIDE)
    assert seen <= len(boxes) <= persons + 1, [round(box.score, 2) for box in boxes]
    assert [box.score for box in boxes] == sorted((box.score for box in boxes), reverse=True)


def test_the_astronaut_is_where_she_is(here: Sessions, models: Path) -> None:
    (box,) = found(here, read_photo(models / "video_faces/people/astronaut.jpg"), PHOTO_SIDE)
    assert 170 < (box.left + box.right) / 2 < 280 and 60 < (box.top + box.bottom) / 2 < 170


def test_the_caller_is_in_every_frame(here: Sessions, frames: list[Frame]) -> None:
    for number, frame in enumerate(frames[::10]):
        (box,) = found(here, frame, faces.DETECTOR_SIDE)
        assert 0 <= box.left < box.right <= 176 and 0 <= box.top < box.bottom <= 144, number


def test_nobody_is_among_the_bikes(here: Sessions, models: Path) -> None:
    with Video(str(models / "video_faces/bikes.mp4")) as video:
        for number, frame in enumerate(video.frames()):
            if number % 25 == 0:
                assert not found(here, frame, faces.DETECTOR_SIDE), number


def test_nobody_is_in_the_dark(here: Sessions) -> None:
    assert not found(here, BLACK, faces.DETECTOR_SIDE)


@pytest.mark.parametrize("size", [(144, 176), (176, 144), (1, 1), (2, 900), (900, 2), (1080, 1920)])
def test_any_frame_fits_into_the_square(size: tuple[int, int]) -> None:
    frame: Frame = numpy.full((*size, 3), 255, numpy.uint8)
    pixels = faces.detector_input(frame, 192)
    assert pixels.shape == (1, 3, 192, 192)
    share = min(size) / max(size)
    assert float(pixels.mean()) == pytest.approx(max(share, 1 / 192), rel=0.05)


def head_with(score: float, anchor: int, row: int, column: int, cells: int = 6) -> torch.Tensor:
    head = torch.zeros(1, 25, cells, cells)
    head[0, 4::5] = -20.0
    head[0, 5 * anchor + 4, row, column] = score
    return head


def test_a_box_is_told_in_pixels_of_the_frame() -> None:
    """A cell's middle, an anchor's size, as face-api has them; the frame is twice as large as the square."""
    (box,) = faces.boxes_in(head_with(20.0, 0, 2, 3), 384, 384, 192)
    assert (box.left + box.right) / 2 == pytest.approx(2 * 32 * 3.5)
    assert (box.top + box.bottom) / 2 == pytest.approx(2 * 32 * 2.5)
    assert box.right - box.left == pytest.approx(2 * 32 * 1.603231, rel=1e-5)
    assert box.bottom - box.top == pytest.approx(2 * 32 * 2.094468, rel=1e-5)


def test_boxes_stay_within_the_frame() -> None:
    (box,) = faces.boxes_in(head_with(20.0, 4, 2, 3), 100, 50, 192)
    assert (box.left, box.top, box.right, box.bottom) == (0, 0, 100, 50)


def test_of_two_boxes_of_a_face_the_better_one_stays() -> None:
    head = torch.maximum(head_with(3.0, 0, 2, 3), head_with(1.0, 2, 2, 3))
    near = faces.boxes_in(head, 192, 192, 192)
    apart = faces.boxes_in(torch.maximum(head_with(3.0, 0, 1, 1), head_with(1.0, 0, 4, 4)), 192, 192, 192)
    assert len(apart) == 2 and apart[0].score > apart[1].score
    assert near[0].score == pytest.approx(torch.sigmoid(torch.tensor(3.0)).item())


@pytest.mark.parametrize("box", [(0, 0, 10, 10), (150, 100, 176, 144), (0, 0, 176, 144), (60.5, 40.2, 61.2, 40.9)])
def test_a_face_at_the_edge_is_cut_out_as_a_square(frames: list[Frame], box: tuple[float, ...]) -> None:
    left, top, right, bottom = box
    pixels = faces.face_input(frames[0], Box(left, top, right, bottom, 1.0))
    assert pixels.shape == (1, 3, 150, 150) and 0 <= float(pixels.min()) <= float(pixels.max()) <= 1
