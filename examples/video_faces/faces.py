# SPDX-License-Identifier: Apache-2.0
"""From a frame to what the detector takes, from its raw head to boxes of faces, and from a box to what the descriptor takes.

Anchors, scales and thresholds are those of face-api (`src/tinyFaceDetector/const.ts`, `src/tinyYolov2`).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy
import torch
from numpy.typing import NDArray

Frame = NDArray[numpy.uint8]  #: Height x width x 3: red, green, blue.

DETECTOR_SIDE = 192  #: Of the square that the detector sees, in pixels; a multiple of 32.
FACE_SIDE = 150
MIN_SCORE = 0.5
MAX_OVERLAP = 0.4  #: Of two boxes that overlap by more the better one stays.
#: The descriptor has learned on faces with some of their surroundings: a square around the box is this
#: many times as wide: with 0.9 persons are furthest apart (tried: 0.8 to 1.5).
WIDENED = 0.9

_CELL = 32
_ANCHORS = (
    (1.603231, 2.094468),
    (6.041143, 7.080126),
    (2.882459, 3.518061),
    (4.266906, 5.178857),
    (9.041765, 10.66308),
)


@dataclass(frozen=True)
class Box:
    """A face in a frame."""

    left: float  #: Pixels of the frame, as the others; within it.
    top: float
    right: float
    bottom: float
    score: float  #: Probability that this is a face: MIN_SCORE..1.

    @property
    def area(self) -> float:
        return (self.right - self.left) * (self.bottom - self.top)


def detector_input(frame: Frame, side: int = DETECTOR_SIDE) -> torch.Tensor:
    """1x3xSxS in 0..1: the frame as large as fits, in the upper left corner of a black square."""
    height, width = frame.shape[:2]
    across, down = _size_in_square(width, height, side)
    square = numpy.zeros((side, side, 3), numpy.uint8)
    shrinks = max(width, height) > side
    square[:down, :across] = cv2.resize(
        frame, (across, down), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    )
    return _pixels(square)


def boxes_in(head: torch.Tensor, width: int, height: int, side: int = DETECTOR_SIDE) -> list[Box]:
    """The faces that the raw head (1x25xCxC) tells of, best first, in pixels of a frame of this size."""
    cells = head.shape[-1]
    values = head.reshape(len(_ANCHORS), 5, cells, cells)
    steps = torch.arange(cells, dtype=head.dtype)
    anchors = torch.tensor(_ANCHORS, dtype=head.dtype).reshape(-1, 2, 1, 1)
    centres_x = (values[:, 0].sigmoid() + steps) * _CELL
    centres_y = (values[:, 1].sigmoid() + steps.unsqueeze(1)) * _CELL
    halves = values[:, 2:4].exp() * anchors * (_CELL / 2)
    scores = values[:, 4].sigmoid()
    across, down = _size_in_square(width, height, side)
    scale_x, scale_y = width / across, height / down
    found = []
    for anchor, row, column in (scores > MIN_SCORE).nonzero().tolist():
        x, y = float(centres_x[anchor, row, column]), float(centres_y[anchor, row, column])
        half_x, half_y = (float(half) for half in halves[anchor, :, row, column])
        box = Box(
            left=max(0.0, (x - half_x) * scale_x),
            top=max(0.0, (y - half_y) * scale_y),
            right=min(float(width), (x + half_x) * scale_x),
            bottom=min(float(height), (y + half_y) * scale_y),
            score=float(scores[anchor, row, column]),
        )
        if box.right - box.left >= 1 and box.bottom - box.top >= 1:
            found.append(box)
    return _best(found)


def face_input(frame: Frame, box: Box) -> torch.Tensor:
    """1x3x150x150 in 0..1: a square around the face; what is outside of the frame repeats its edge."""
    side = max(1, round(max(box.right - box.left, box.bottom - box.top) * WIDENED))
    left, top = round((box.left + box.right - side) / 2), round((box.top + box.bottom - side) / 2)
    height, width = frame.shape[:2]
    right, bottom = left + side, top + side
    inside = frame[max(0, top) : bottom, max(0, left) : right]
    square = cv2.copyMakeBorder(
        inside, max(0, -top), max(0, bottom - height), max(0, -left), max(0, right - width), cv2.BORDER_REPLICATE
    )
    way = cv2.INTER_AREA if side > FACE_SIDE else cv2.INTER_LINEAR
    return _pixels(cv2.resize(square, (FACE_SIDE, FACE_SIDE), interpolation=way))


def _size_in_square(width: int, height: int, side: int) -> tuple[int, int]:
    longest = max(width, height)
    return max(1, round(width * side / longest)), max(1, round(height * side / longest))


def _pixels(square: cv2.typing.MatLike) -> torch.Tensor:
    return torch.from_numpy(square).permute(2, 0, 1).unsqueeze(0).float().div(255).contiguous()


def _best(boxes: list[Box]) -> list[Box]:
    """Greedy non-maximum suppression."""
    kept: list[Box] = []
    for box in sorted(boxes, key=lambda one: -one.score):
        if all(_overlap(box, other) <= MAX_OVERLAP for other in kept):
            kept.append(box)
    return kept


def _overlap(one: Box, other: Box) -> float:
    """Intersection over union."""
    across = min(one.right, other.right) - max(one.left, other.left)
    down = min(one.bottom, other.bottom) - max(one.top, other.top)
    common = max(0.0, across) * max(0.0, down)
    return common / (one.area + other.area - common)
