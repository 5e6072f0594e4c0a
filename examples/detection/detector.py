# SPDX-License-Identifier: Apache-2.0
"""A file's bytes in, objects out, wherever the network runs."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from common.pictures import MAX_PIXELS
from detection.boxes import Detection, objects_in, read_photo
from detection.model_files import Network

if TYPE_CHECKING:  # As in model_files.
    import splitnet


@dataclass(frozen=True)
class Steps:
    """Where the time of one pass of the network went."""

    device_s: float
    transfer_s: float = 0.0  #: There and back, with encoding and decoding.
    worker_s: float = 0.0
    sent_bytes: int = 0
    received_bytes: int = 0
    answered_by: str = ""  #: The worker's endpoint; empty: this device finished it.


@dataclass(frozen=True)
class Answer:
    """What was found in one photo."""

    objects: list[Detection]  #: Best first.
    inference_s: float  #: The network, its transfers where it is split, and the boxes; not decoding the picture file.
    steps: Steps


#: 1x3xSxS in 0..1 to the two raw heads, and where the time went.
TimedNetwork = Callable[[torch.Tensor], tuple[Sequence[torch.Tensor], Steps]]


class Detector:
    """Thread-safe where the network is."""

    def __init__(self, network: TimedNetwork, names: Sequence[str], max_decoded_pixels: int = MAX_PIXELS) -> None:
        self._network = network
        self._names = names
        self._max_decoded_pixels = max_decoded_pixels

    def detect(self, data: bytes) -> Answer:
        """Raises PictureError, and what the network raises."""
        photo = read_photo(data, max_decoded_pixels=self._max_decoded_pixels)
        begun_s = time.perf_counter()
        heads, steps = self._network(photo.pixels)
        objects = objects_in(photo, heads, self._names)
        return Answer(objects, time.perf_counter() - begun_s, steps)


def in_session(session: splitnet.Session) -> TimedNetwork:
    """On this device, or split with a worker: where that gives no answer, the device finishes, and stderr is told."""
    finished_here = 0

    def run(pixels: torch.Tensor) -> tuple[Sequence[torch.Tensor], Steps]:
        nonlocal finished_here
        answer = session.run(pixels)
        if (finished := session.stats.finished_here) > finished_here:
            finished_here = finished
            print("detector: the worker gave no answer, so this device finished", file=sys.stderr, flush=True)
        times = answer.times
        steps = Steps(
            device_s=times.head_s + times.rest_s,
            transfer_s=times.encode_s + times.transport_s + times.decode_s,
            worker_s=times.tail_s,
            sent_bytes=sum(hop.request_bytes for hop in times.hops),
            received_bytes=sum(hop.reply_bytes for hop in times.hops),
            answered_by=answer.answered_by,
        )
        return answer.output, steps

    return run


def in_plain_torch(network: Network) -> TimedNetwork:
    """All of it here, without splitnet."""

    def run(pixels: torch.Tensor) -> tuple[Sequence[torch.Tensor], Steps]:
        begun_s = time.perf_counter()
        heads = network(pixels)
        return heads, Steps(device_s=time.perf_counter() - begun_s)

    return run
