# SPDX-License-Identifier: Apache-2.0
"""A file's bytes in, objects out, wherever the network runs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from detection.boxes import Detection, Network, objects_in, read_photo


@dataclass(frozen=True)
class Answer:
    """What was found in one photo."""

    objects: list[Detection]  #: Best first.
    inference_s: float  #: The network, its transfers where it is split, and the boxes; not decoding the picture file.


class Detector:
    """Thread-safe where the network is."""

    def __init__(self, network: Network, names: Sequence[str]) -> None:
        self._network = network
        self._names = names

    def detect(self, data: bytes) -> Answer:
        """Raises PictureError, and what the network raises."""
        photo = read_photo(data)
        begun_s = time.perf_counter()
        objects = objects_in(photo, self._network(photo.pixels), self._names)
        return Answer(objects, time.perf_counter() - begun_s)
