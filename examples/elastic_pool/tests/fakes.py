# SPDX-License-Identifier: Apache-2.0
"""A queue that says what the test wants, and a model for real workers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from elastic_pool.work_queue import QueueCounts, QueueError

PATIENCE_S = 60.0


class SaidQueue:
    """As many messages as somebody has set."""

    def __init__(self, waiting: int = 0, in_flight: int = 0) -> None:
        self.value = QueueCounts(waiting, in_flight)
        self.trouble = ""
        self.prepared = 0
        self.looks = threading.Semaphore(0)

    def prepare(self) -> None:
        self.prepared += 1

    def counts(self) -> QueueCounts:
        self.looks.release()
        if self.trouble:
            raise QueueError(self.trouble)
        return self.value

    def set(self, waiting: int, in_flight: int = 0) -> None:
        self.value = QueueCounts(waiting, in_flight)


def until(is_so: Callable[[], bool], what: str) -> None:
    """Waits for it. Raises AssertionError."""
    until_s = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < until_s, f"not after {PATIENCE_S:g} s: {what}"
        time.sleep(0.01)
