# SPDX-License-Identifier: Apache-2.0
"""Reads pictures from strangers: any raster format that Pillow knows, upright, with bounds on what it may cost."""

from __future__ import annotations

import io
from dataclasses import dataclass

from PIL import Image, ImageOps

#: A picture with more is refused before it is decoded.
MAX_PIXELS = 64_000_000
#: What a pixel may take while it is decoded: transparent, 16-bit and progressive pictures; 4 is usual.
BYTES_PER_PIXEL = 8

_ORIENTATION = 0x0112  # EXIF tag; 5 to 8 swap width and height.
_RUNS_PROGRAMS = {"EPS"}  # Pillow has Ghostscript draw these.
_SHRINKABLE = {"L", "RGB", "CMYK", "YCbCr"}  # Modes that are reduced without a copy in another mode.


class PictureError(ValueError):
    """The bytes are no picture, a damaged one, or one that is too large; says which."""


@dataclass(frozen=True)
class Picture:
    """A photo as people see it."""

    image: Image.Image  #: RGB, turned as its EXIF orientation says; maybe smaller than the photo (see open_picture).
    width: int  #: Of the photo itself, in pixels, turned likewise.
    height: int


def open_picture(data: bytes, long_side: int | None = None, max_decoded_pixels: int = MAX_PIXELS) -> Picture:
    """The picture in a file's bytes; of an animation the first one.

    With `long_side` the image may come smaller, its longer side still at least that long: saves time and memory where
    a large photo is made small anyway. A JPEG is then decoded at as little as an eighth of its width and height. Where
    memory is scarce, `max_decoded_pixels` bounds what is decoded, BYTES_PER_PIXEL each. Raises PictureError.
    """
    if not data:
        raise PictureError("found an empty file, expected a picture")
    try:
        image = Image.open(io.BytesIO(data), formats=_formats())
    except Image.DecompressionBombError as error:
        raise PictureError(f"the picture is too large: {error}") from None
    except Exception as error:  # Pillow's many parsers raise whatever they trip over.
        raise PictureError(f"found {len(data)} bytes that are no picture, expected one: {_words(error)}") from None
    if image.width * image.height > MAX_PIXELS:
        raise _too_large(image, MAX_PIXELS)
    try:
        return _decoded(image, long_side, max_decoded_pixels)
    except PictureError:
        raise
    except Exception as error:
        raise PictureError(f"the picture ({image.format}) is damaged: {_words(error)}") from None


def _too_large(image: Image.Image, most: int) -> PictureError:
    found = f"{image.width}x{image.height} pixels ({image.format})"
    return PictureError(f"the picture has {found}, expected at most {most / 1e6:g} million")


def _decoded(image: Image.Image, long_side: int | None, max_decoded_pixels: int) -> Picture:
    width, height = image.size
    if image.getexif().get(_ORIENTATION, 1) >= 5:
        width, height = height, width
    factor = max(1, max(image.size) // long_side) if long_side else 1
    if "progressive" not in image.info:  # Of which all is in memory, whatever size comes out.
        image.draft("RGB", (image.width // factor, image.height // factor))  # A JPEG is decoded at 1/2, 1/4 or 1/8.
    if image.width * image.height > max_decoded_pixels:
        raise _too_large(image, max_decoded_pixels)
    image.load()
    small = image
    if long_side and image.mode in _SHRINKABLE:
        small = image.reduce(max(1, max(image.size) // long_side))
    return Picture(_rgb(ImageOps.exif_transpose(small)), width, height)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits, which `convert` would clip.
        image = image.point(lambda value: value * (1 / 256)).convert("L")
    return image.convert("RGB")


def _formats() -> list[str]:
    Image.init()
    return [name for name in Image.ID if name not in _RUNS_PROGRAMS]


def _words(error: Exception) -> str:
    return str(error).split(" <")[0] or type(error).__name__  # Without the address of the stream.
