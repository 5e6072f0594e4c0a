# SPDX-License-Identifier: Apache-2.0
"""Real photos to classify: one of each kind, or as many different files as are asked for."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from common.package_files import package_file

#: Photos of ImageNet, with the number of what they show.
IMAGENET = {
    f"foolbox/data/imagenet_{index:02}_{number}.jpg": number
    for index, number in enumerate(
        [243, 559, 438, 990, 949, 853, 609, 609, 915, 455, 541, 630, 741, 471, 129, 99, 251, 22, 317, 305]
    )
}
OTHERS = [f"skimage/data/{name}" for name in ("chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg")]

_FORMATS = ("JPEG", "JPEG", "JPEG", "PNG", "WEBP")
_LARGEST_SHIFT = 0.12  #: Of the shorter side; what the photo shows stays in it.


@dataclass(frozen=True)
class Photo:
    """A picture's file."""

    name: str  #: With the ending of its format, different from those of all others.
    file: bytes


def photo_files() -> list[Path]:
    """Each photo once, as it was published. Raises FileNotFoundError: .venv lacks requirements/zoo.txt."""
    return [package_file(name) for name in (*IMAGENET, *OTHERS)]


def varied_photos(count: int) -> Iterator[Photo]:
    """So many different files, the same ones each time: the photos in turn, each round cut out elsewhere, in several
    formats."""
    files = photo_files()
    for index in range(count):
        turn, which = divmod(index, len(files))
        form = _FORMATS[index % len(_FORMATS)]
        name = f"{index:04}_{files[which].stem}.{form.lower()}"
        yield Photo(name, _encoded(_shifted(Image.open(files[which]).convert("RGB"), turn), form))


def _shifted(image: Image.Image, turn: int) -> Image.Image:
    """Without a margin of as many pixels as fit, on two sides that depend on the turn."""
    if turn == 0:
        return image
    margin = 1 + (turn * 7) % max(1, int(min(image.size) * _LARGEST_SHIFT))
    left, top = (margin if turn % 2 else 0), (margin if turn // 2 % 2 else 0)
    return image.crop((left, top, image.width - margin + left, image.height - margin + top))


def _encoded(image: Image.Image, form: str) -> bytes:
    stream = io.BytesIO()
    image.thumbnail((640, 640))
    image.save(stream, form, quality=90)
    return stream.getvalue()
