# SPDX-License-Identifier: Apache-2.0
"""Pictures with boxes, for people."""

from __future__ import annotations

from pathlib import Path

from PIL import ImageDraw, ImageFont

from common.pictures import open_picture
from detection.boxes import Detection

_COLOURS = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#008080")


def draw(file: Path, objects: list[Detection], folder: Path) -> Path:
    """Writes `folder`/NAME.jpg: the picture, upright, each object in a box with its label. Raises PictureError."""
    image = open_picture(file.read_bytes()).image
    size = max(12, max(image.size) // 40)
    font, pen = ImageFont.load_default(size), ImageDraw.Draw(image)
    for number, one in enumerate(reversed(objects)):  # The best is drawn last, on top.
        colour = _COLOURS[(len(objects) - 1 - number) % len(_COLOURS)]
        left, top, *_ = one.box
        pen.rectangle(one.box, outline=colour, width=max(2, size // 6))
        words = f" {one.label} {one.accuracy:.2f} "
        place = (left, max(0, top - size * 1.3))
        pen.rectangle((*place, place[0] + pen.textlength(words, font=font), place[1] + size * 1.3), fill=colour)
        pen.text(place, words, fill="white", font=font)
    folder.mkdir(parents=True, exist_ok=True)
    drawn = folder / f"{file.stem}.jpg"
    image.save(drawn, quality=90)
    return drawn
