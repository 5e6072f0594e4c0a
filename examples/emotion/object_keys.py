# SPDX-License-Identifier: Apache-2.0
"""Where photos and answers of the baseline lie in its bucket."""

from __future__ import annotations

PHOTOS = "photos/"  #: What is put here starts the function.


def photo_key(name: str) -> str:
    """Of the photo with this name."""
    return PHOTOS + name


def answer_key(photo: str) -> str:
    """Of the answer to the photo with this key."""
    return f"answers/{photo.removeprefix(PHOTOS)}.json"
