# SPDX-License-Identifier: Apache-2.0
"""Frames of a camera or of a file."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy

from common.pictures import open_picture
from video_faces.faces import Frame

#: Larger frames are made so small, shape kept: what faces need, and a bound on what a frame costs.
LONGEST_SIDE = 1280
_USUAL_RATE = 30.0
_RATES = (1.0, 240.0)  # What is outside of it, nobody has said: 30 is taken.
_BROKEN_IN_A_ROW = 30  # Frames of a camera that can't be read before it counts as gone.


class VideoError(ValueError):
    """It is no video, has no frames, or is no camera; says which."""


class Video:
    """A source of frames, read once, by one thread. Close it, or use it in a `with`."""

    def __init__(self, source: str, repeats: bool = False) -> None:
        """`source` is the number of a camera, from 0, or the path of a file; `repeats`: a file begins again at its end.

        Raises VideoError.
        """
        self.name = source
        self._repeats = repeats
        self.is_camera = source.isdecimal()
        if not self.is_camera:
            _check_file(Path(source))
        self._capture = cv2.VideoCapture(int(source) if self.is_camera else source)
        if not self._capture.isOpened():
            what = f"camera {source}" if self.is_camera else f"{source}, {Path(source).stat().st_size} bytes"
            raise VideoError(
                f"found {what}, which can't be opened, expected {'a camera' if self.is_camera else 'a video'}"
            )
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        #: Frames per second, as the source says.
        self.frame_rate = rate if math.isfinite(rate) and _RATES[0] <= rate <= _RATES[1] else _USUAL_RATE
        promised = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        #: How many frames the file says it has; 0: it doesn't say, or is a camera.
        self.promised_frames = int(promised) if math.isfinite(promised) and 0 < promised < 2**31 else 0

    def frames(self) -> Iterator[Frame]:
        """Those that can be read, sizes as they come. Raises VideoError: there is none, or the camera has gone, or the file
        that is repeated."""
        count = broken = before = 0  # `before`: of `count`, those before the file began again.
        while True:
            is_there, frame = self._capture.read()
            if is_there and frame is not None and frame.size:
                count, broken = count + 1, 0
                yield _as_rgb(frame)
            elif self.is_camera:
                broken += 1
                if broken > _BROKEN_IN_A_ROW:
                    raise VideoError(f"camera {self.name} gives no more frames, after {count}")
            elif not self._repeats or not count:
                break
            elif count == before or not self._capture.open(self.name):
                raise VideoError(f"{self.name} can't be read any more, after {count} frames")
            else:
                before = count
        if not count:
            raise VideoError(f"found {self.name} without a frame that can be read, expected at least one")

    def close(self) -> None:
        """Idempotent."""
        self._capture.release()

    def __enter__(self) -> Video:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def paced(frames: Iterator[Frame], rate: float) -> Iterator[Frame]:
    """As a camera would give them: one every 1 / rate seconds, whatever the taker does in between."""
    begun_s = time.monotonic()
    for number, frame in enumerate(frames):
        wait_s = begun_s + number / rate - time.monotonic()
        if wait_s > 0:
            time.sleep(wait_s)
        yield frame


def read_photo(path: Path) -> Frame:
    """A picture file as a frame. Raises PictureError."""
    image = open_picture(path.read_bytes(), long_side=LONGEST_SIDE).image
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    return numpy.asarray(image)


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise VideoError(f"found no file {path}, expected a video or the number of a camera")
    if not path.stat().st_size:
        raise VideoError(f"found an empty file {path}, expected a video")


def _as_rgb(frame: cv2.typing.MatLike) -> Frame:
    longest = max(frame.shape[:2])
    if longest > LONGEST_SIDE:
        scale = LONGEST_SIDE / longest
        frame = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    rgb: Frame = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)  # type: ignore[assignment]
    return rgb
