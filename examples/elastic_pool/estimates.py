# SPDX-License-Identifier: Apache-2.0
"""What counts taken now and then say of arrivals, service times and waiting."""

from __future__ import annotations

import collections
import math
from typing import NamedTuple

_LEAST_S = 1e-4


class _Arrived(NamedTuple):
    """So many had, for the first time, at a look."""

    before_s: float | None  #: The look before it, at which they had not; absent: it was the first one.
    seen_s: float
    number: int


class LoadEstimator:
    """From the number of requests that have ended, and the messages in the queue, at each look.

    With N(t) messages in the queue (waiting or in flight) and D(t) requests ended so far, A(t) = N(t) + D(t) have
    arrived. In order of arrival, the one that ended last had arrived when A reached D(t), and the first that waits when A
    passed D(t) + in flight: the horizontal distances in the diagram of cumulative arrivals and departures (as in
    L. Kleinrock, "Queueing Systems", volume 1, section 2.1, where Little's law is proved with it). Looks are seconds
    apart, and a request comes between two of them: its age, from the later one, is at least so long, its latency, from the
    earlier one, at most. Where A falls, a message was counted twice, or lost: then the looks before had counted it too, and
    are lowered.
    """

    def __init__(self, service_time_s: float, start_time_s: float, memory_s: float = 10.0) -> None:
        """The times are expected ones, until some are measured. `memory_s`: of averages, whose older part weighs less by
        exp(−age / memory_s)."""
        self.service_time_s = service_time_s
        self.start_time_s = start_time_s
        self.oldest_age_s = 0.0
        self.latency_s: float | None = None
        """Of the request that ended last, from queue to answer, at most; absent: none has, or it was there at the first look."""
        self._memory_s = memory_s
        self._arrivals_per_s = 0.0
        self._ended = 0
        self._work_s = 0.0
        self._last: tuple[float, int] | None = None
        self._arrived: collections.deque[_Arrived] = collections.deque()  #: Those that may be asked for.

    @property
    def arrivals_per_s(self) -> float:
        return max(0.0, self._arrivals_per_s)

    def look(self, now_s: float, waiting: int, in_flight: int, ended: int, work_s: float) -> None:
        """`ended` and `work_s`: of all workers there have been, requests that have ended and the time they took."""
        arrived = ended + waiting + in_flight
        if self._last is not None:
            self._average(now_s - self._last[0], arrived - self._last[1], ended, work_s)
        first = _Arrived(self._last[0] if self._last else None, now_s, arrived)
        while self._arrived and self._arrived[-1].number >= arrived:
            first = self._arrived.pop()._replace(number=arrived)
        self._arrived.append(first)
        if ended > self._ended:
            before_s = self._look_at(ended).before_s
            self.latency_s = None if before_s is None else now_s - before_s
        self.oldest_age_s = now_s - self._look_at(ended + in_flight + 1).seen_s if waiting else 0.0
        while self._arrived and self._arrived[0].number <= ended:
            self._arrived.popleft()
        self._last = now_s, arrived
        self._ended, self._work_s = ended, work_s

    def started(self, start_time_s: float) -> None:
        """Of one worker, from process to requests. The last ones count most."""
        self.start_time_s += (start_time_s - self.start_time_s) / 2

    def _average(self, passed_s: float, arrived: int, ended: int, work_s: float) -> None:
        if passed_s <= 0:
            return
        weight = 1 - math.exp(-passed_s / self._memory_s)
        self._arrivals_per_s += weight * (arrived / passed_s - self._arrivals_per_s)
        if new := ended - self._ended:
            mean_s = max(_LEAST_S, (work_s - self._work_s) / new)
            known = self._ended > 0
            self.service_time_s += (weight if known else 1.0) * (mean_s - self.service_time_s)

    def _look_at(self, number: int) -> _Arrived:
        """The one that first saw that so many had arrived."""
        return next(one for one in self._arrived if one.number >= number)
