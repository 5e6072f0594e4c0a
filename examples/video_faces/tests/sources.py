# SPDX-License-Identifier: Apache-2.0
"""Sources of frames that tests need and nobody has: a camera, and a file without a frame."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy


class Camera:
    """In place of cv2.VideoCapture of a camera: here is none. Each frame is as bright as its number."""

    def __init__(self) -> None:
        self.rate = 25.0  #: Frames a second, as it says.
        self.gives: list[bool] = []  #: At each look whether there is a frame; after the last one there is none.
        self.is_released = False
        self._given = 0

    def isOpened(self) -> bool:
        return True

    def get(self, what: int) -> float:
        """Cameras don't know how many frames there will be: OpenCV says -1."""
        return {cv2.CAP_PROP_FPS: self.rate, cv2.CAP_PROP_FRAME_COUNT: -1.0}[what]

    def read(self) -> tuple[bool, cv2.typing.MatLike | None]:
        if not self.gives or not self.gives.pop(0):
            return False, None
        self._given += 1
        return True, numpy.full((48, 64, 3), self._given - 1, numpy.uint8)

    def release(self) -> None:
        self.is_released = True


def write_avi_without_frames(path: Path) -> None:
    """A header, and no pictures: what a recorder leaves that is killed at once."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (32, 32))
    writer.write(numpy.zeros((32, 32, 3), numpy.uint8))
    writer.release()
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"movi") + 4])
