# SPDX-License-Identifier: Apache-2.0
"""Looks for a photo in what passed on a wire."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator

import numpy
import torch
from PIL import Image

from emotion.faces import Face, open_photo

_PIECE_BYTES = 24
_LEAST_DISTINCT = 9  # Pieces with fewer different bytes (a black border, a header) may be there by chance.
_BASE64 = re.compile(rb"[A-Za-z0-9+/]{64,}={0,2}")


def leaks(sent: bytes, photo: bytes, face: Face) -> list[str]:
    """In which form pieces of the photo or of the face pass, in the open or in base64; empty: in none of these."""
    passed = sent + b"".join(map(_decoded, _BASE64.findall(sent)))
    begun = _eights(passed)  # Most pieces are ruled out by how they begin.
    return [
        form
        for form, data in _forms(photo, face)
        if any(piece[:8] in begun and piece in passed for piece in _pieces(data))
    ]


def _eights(data: bytes) -> set[bytes]:
    """All runs of eight bytes."""
    return {data[start : start + 8] for start in range(len(data) - 7)}


def _forms(photo: bytes, face: Face) -> Iterator[tuple[str, bytes]]:
    picture = open_photo(photo)
    left, top, width, height = face.box
    cropped = picture.crop((left, top, left + width, top + height))
    pixels = face.pixels[0, 0]
    yield "file", photo
    for name, image in (("photo", picture), ("crop", cropped)):
        yield f"{name}, RGB", _bytes(image)
        yield f"{name}, grey", _bytes(image.convert("L"))
    yield "face, f32", pixels.numpy().tobytes()
    yield "face, f16", pixels.to(torch.float16).numpy().tobytes()
    yield "face, u8", ((pixels + 1) * 127.5).round().to(torch.uint8).numpy().tobytes()


def _bytes(image: Image.Image) -> bytes:
    return numpy.asarray(image).tobytes()


def _pieces(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data) - _PIECE_BYTES, _PIECE_BYTES):
        piece = data[start : start + _PIECE_BYTES]
        if len(set(piece)) >= _LEAST_DISTINCT:
            yield piece


def _decoded(text: bytes) -> bytes:
    return base64.b64decode(text[: len(text) // 4 * 4])
