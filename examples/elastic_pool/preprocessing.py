# SPDX-License-Identifier: Apache-2.0
"""How a picture's file becomes what a network takes: what of it is seen, at which size, and how bytes become numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from PIL import Image

from common.pictures import MAX_PIXELS, open_picture
from emotion.faces import FACE_SIDE, LONGEST_SIDE, find_faces

_LONGEST_OF_SHORTEST = 4  #: Photos that are not longer than this are never scaled up.

PerChannel = float | tuple[float, ...]


class Preprocessing(Protocol):
    """Its tensors are bytes from 0 to 255, of which (byte / 255 - mean) / deviation was made."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """1 x channels x height x width."""

    @property
    def mean(self) -> PerChannel:
        """Of each channel, or of all, of pixels in 0..1: what is taken off,"""

    @property
    def deviation(self) -> PerChannel:
        """and what the rest is divided by."""

    def pixels(self, file: bytes, max_decoded_pixels: int) -> torch.Tensor:
        """Float32, contiguous. Thread-safe. Raises PictureError."""


@dataclass(frozen=True)
class PhotoPreprocessing:
    """Of a photo as a whole, or of the middle of it."""

    height: int  #: Of the network's input, in pixels,
    width: int
    mean: PerChannel
    deviation: PerChannel
    channels: Literal[1, 3] = 3  #: 3: red, green, blue; 1: grey, the luma of ITU-R 601.
    fit: Literal["crop", "stretch"] = (
        "crop"  #: The largest part in the middle with the input's proportions; or all of it.
    )
    resize: int = 0  #: With crop: pixels of that part's shorter side, of which the input is the middle; 0: all of it.
    resampling: Image.Resampling = Image.Resampling.BILINEAR

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return (1, self.channels, self.height, self.width)

    def pixels(self, file: bytes, max_decoded_pixels: int = MAX_PIXELS) -> torch.Tensor:
        shorter, longer = sorted((self.height, self.width))
        longest = _LONGEST_OF_SHORTEST * (self.resize or shorter) * longer // shorter
        image = open_picture(file, longest, max_decoded_pixels).image
        if self.channels == 1:
            image = image.convert("L")
        scaled = image.resize((self.width, self.height), self.resampling, self._box(image.width, image.height))
        values = torch.frombuffer(bytearray(scaled.tobytes()), dtype=torch.uint8)
        planes = values.reshape(self.height, self.width, self.channels).permute(2, 0, 1)
        mean, deviation = (torch.tensor(one).reshape(-1, 1, 1) for one in (self.mean, self.deviation))
        return ((planes.float() / 255 - mean) / deviation)[None].contiguous()

    def _box(self, width: int, height: int) -> tuple[float, float, float, float]:
        """What is seen of a photo of this size: left, top, right, bottom."""
        if self.fit == "stretch":
            return (0, 0, width, height)
        shorter = min(self.height, self.width)
        resize = self.resize or shorter
        seen_width = min(width, height * self.width / self.height) * shorter / resize
        seen_height = min(height, width * self.height / self.width) * shorter / resize
        left, top = (width - seen_width) / 2, (height - seen_height) / 2
        return (left, top, left + seen_width, top + seen_height)


@dataclass(frozen=True)
class FacePreprocessing:
    """Of the largest face in a photo; NoFaceError, a PictureError: there is none."""

    mean = 0.5
    deviation = 0.5
    shape = (1, 1, FACE_SIDE, FACE_SIDE)

    def pixels(self, file: bytes, max_decoded_pixels: int = MAX_PIXELS) -> torch.Tensor:
        image = open_picture(file, LONGEST_SIDE, max_decoded_pixels).image
        image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
        return find_faces(image)[0].pixels
