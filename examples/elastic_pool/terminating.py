# SPDX-License-Identifier: Apache-2.0
"""Terminate messages: each ends one worker that has nothing to do, if one is found while it is valid."""

from __future__ import annotations

import collections


class TerminateMessages:
    """In the order in which they were sent. For one thread."""

    def __init__(self, valid_s: float) -> None:
        self._valid_s = valid_s
        self._until_s: collections.deque[float] = collections.deque()

    def send(self, count: int, now_s: float) -> None:
        self._until_s.extend([now_s + self._valid_s] * count)

    def waiting(self, now_s: float) -> int:
        """Those that are still valid."""
        while self._until_s and self._until_s[0] <= now_s:
            self._until_s.popleft()
        return len(self._until_s)

    def take(self, now_s: float) -> bool:
        """Whether there was one: the worker that it was offered to has to end."""
        if not self.waiting(now_s):
            return False
        self._until_s.popleft()
        return True
