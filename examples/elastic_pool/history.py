# SPDX-License-Identifier: Apache-2.0
"""What a pool was like at each look: for the page, for plots and for sums."""

from __future__ import annotations

import collections
import threading
from dataclasses import dataclass

MAX_SAMPLES = 3600


@dataclass(frozen=True)
class Sample:
    """At one look; times are those of a monotonic clock, from the start of the pool."""

    time_s: float
    waiting: int = 0
    in_flight: int = 0
    running: int = 0
    starting: int = 0
    idle: int = 0
    draining: int = 0
    arrivals_per_s: float = 0.0
    service_time_s: float = 0.0
    oldest_age_s: float = 0.0
    latency_s: float | None = None  #: From queue to answer, at most, of the request that ended last; see LoadEstimator.
    answered: int = 0  #: Inferences so far that got a result.
    started: int = 0  #: Workers so far.
    died: int = 0  #: Of them, those that nobody had asked to end.
    worker_s: float = 0.0  #: All workers' lives together.
    dollars: float = 0.0  #: For worker_s, a core for each worker.
    decided: int = 0  #: Workers to start (positive) or to terminate (negative).
    trouble: str = ""  #: Why nothing could be decided; empty: all is well.


class History:
    """The last MAX_SAMPLES. Thread-safe."""

    def __init__(self) -> None:
        self._samples: collections.deque[Sample] = collections.deque(maxlen=MAX_SAMPLES)
        self._lock = threading.Lock()

    def add(self, sample: Sample) -> None:
        with self._lock:
            self._samples.append(sample)

    def samples(self, after_s: float = -1.0) -> list[Sample]:
        """Those later than `after_s`, oldest first."""
        with self._lock:
            return [sample for sample in self._samples if sample.time_s > after_s]

    def last(self) -> Sample:
        with self._lock:
            return self._samples[-1] if self._samples else Sample(0.0)
