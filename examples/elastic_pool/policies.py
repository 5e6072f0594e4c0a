# SPDX-License-Identifier: Apache-2.0
"""How many workers to start and to terminate, from what is known of the queue and the workers now.

Policies are values without a clock, threads or sockets of their own: the same ones run real processes (controller) and
simulated ones (simulation). What one has to remember it gets back the next time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from elastic_pool.queueing import workers_for_wait


@dataclass(frozen=True)
class Observation:
    """What is known at one moment. Counts of SQS are approximate, so nothing here is exact."""

    now_s: float  #: Of a monotonic clock.
    waiting: int = 0  #: Messages that no worker has taken.
    in_flight: int = 0  #: Messages that a worker has taken and not deleted.
    running: int = 0  #: Workers that take requests; not those that start, nor those that drain.
    starting: int = 0
    idle: int = 0  #: Of those that run: with nothing to do.
    terminating: int = 0  #: Terminate messages that nobody has got yet.
    arrivals_per_s: float = 0.0  #: Recently.
    service_time_s: float = 1.0  #: Above 0: a worker's time for a request, recently; at first what the caller expects.
    start_time_s: float = 5.0  #: From the start of a process until it takes requests, likewise.
    oldest_age_s: float = 0.0  #: How long the first of the waiting messages has waited.


@dataclass(frozen=True)
class Decision:
    """At most one of the two is more than 0."""

    start: int = 0
    terminate: int = 0  #: Terminate messages to send, each for one worker that has nothing to do.


@dataclass(frozen=True)
class Past:
    """What a policy remembers; policies that don't need it pass it on."""

    wanted: tuple[tuple[float, int], ...] = ()  #: (time, workers that would have been enough), oldest first.
    busy_s: float | None = None  #: When there was work last; absent: it has not looked yet.


class Policy(Protocol):
    """Thread-safe: without state."""

    @property
    def name(self) -> str:
        """For tables, plots and the page."""

    def decide(self, seen: Observation, past: Past) -> tuple[Decision, Past]:
        """Called every few seconds, with what the call before has returned as past; Past() the first time."""


@dataclass(frozen=True)
class WaitingMinusRunning:
    """S2's: starts (waiting − running) workers, never more than `max_workers` in all; with nothing waiting all stop.

    Workers that start count as running, as machines that boot do there.
    """

    max_workers: int = 15
    name: str = "waiting - running"

    def __post_init__(self) -> None:
        _expect_at_least(self, "max_workers", 1)

    def decide(self, seen: Observation, past: Past) -> tuple[Decision, Past]:
        there = seen.running + seen.starting
        if seen.waiting == 0:
            return Decision(terminate=max(0, seen.running - seen.terminating)), past
        return Decision(start=max(0, min(seen.waiting - there, self.max_workers - there))), past


@dataclass(frozen=True)
class WaitingPerWorker:
    """S4's, with QoS = `waiting_per_worker`, the messages that one worker may have before it:

    desired D = ceil(waiting / QoS), feasible F = min(max_workers, D), S = F − running. S > 0 starts S workers, S < 0 sends
    |S| terminate messages; with nothing waiting D = 0 and all workers stop. Theirs looks every 5 s, and a terminate
    message is valid about as long: no message outlives the look that sent it. Who looks more often sends only those that
    are missing, or each look would send |S| more.

    Workers that start count as running, as machines that boot do there.
    """

    waiting_per_worker: int = 5
    max_workers: int = 15
    name: str = "ceil(waiting / QoS)"

    def __post_init__(self) -> None:
        _expect_at_least(self, "waiting_per_worker", 1)
        _expect_at_least(self, "max_workers", 1)

    def decide(self, seen: Observation, past: Past) -> tuple[Decision, Past]:
        desired = math.ceil(seen.waiting / self.waiting_per_worker)
        feasible = min(self.max_workers, desired)
        missing = feasible - seen.running - seen.starting
        return Decision(start=max(0, missing), terminate=max(0, -missing - seen.terminating)), past


@dataclass(frozen=True)
class LatencyTarget:
    """As many workers as answer requests within `target_s`, started at once, stopped late.

    Wanted is the most of
    - what the arrivals need: the fewest workers of an M/M/c queue whose wait is longer than target_s − service time in at
      most `late_share` of the cases (queueing.workers_for_wait);
    - what the backlog needs: B = waiting + in flight is B·s seconds of work (s: service time). The workers that run do
      H of it each within H = max(target_s, start time + s), those that start only H − start time:
      new = ceil((B·s − running·H) / (H − start time)) − starting. So nobody is started who would come too late to help,
      and where the target is shorter than a start all that is left then is done side by side. Of those that are there
      ceil(B·s / target_s) are kept;
    - `min_workers`, a warm pool: a request that comes alone then waits for no start.
    It is at most `max_workers`. More workers are started at once. Fewer are kept only when fewer would have been enough
    all the time for the last `stop_after_s`: the most that was wanted in that window stays (what the Kubernetes
    Horizontal Pod Autoscaler calls a stabilization window). After `zero_after_s` without work all stop, the warm pool too.
    """

    target_s: float = 2.0
    max_workers: int = 15
    min_workers: int = 0
    late_share: float = 0.05
    stop_after_s: float = 15.0
    zero_after_s: float | None = 60.0  #: None: the warm pool stays.
    name: str = "latency target"

    def __post_init__(self) -> None:
        """Raises ValueError naming the field."""
        _expect_at_least(self, "max_workers", 1)
        _expect_at_least(self, "min_workers", 0)
        _expect_at_least(self, "stop_after_s", 0)
        if self.min_workers > self.max_workers:
            raise ValueError(f"min_workers: found {self.min_workers}, expected at most max_workers, {self.max_workers}")
        if not self.target_s > 0 or not math.isfinite(self.target_s):
            raise ValueError(f"target_s: found {self.target_s}, expected a number of seconds above 0")
        if not 0 < self.late_share < 1:
            raise ValueError(f"late_share: found {self.late_share}, expected a share between 0 and 1")
        if self.zero_after_s is not None and not self.zero_after_s >= 0:
            raise ValueError(f"zero_after_s: found {self.zero_after_s}, expected 0 or more seconds, or None")

    def decide(self, seen: Observation, past: Past) -> tuple[Decision, Past]:
        busy = seen.waiting + seen.in_flight > 0
        busy_s = seen.now_s if busy or past.busy_s is None else past.busy_s
        if not busy and self.zero_after_s is not None and seen.now_s - busy_s >= self.zero_after_s:
            return Decision(terminate=max(0, seen.running - seen.terminating)), Past(busy_s=busy_s)
        wanted = self._wanted(seen)
        there = seen.running + seen.starting
        before = past.wanted or ((seen.now_s, there),)  # Whoever is there at first was wanted by somebody.
        window = tuple(one for one in before if one[0] > seen.now_s - self.stop_after_s) + ((seen.now_s, wanted),)
        kept = max(number for _, number in window)
        decision = Decision(
            start=max(0, wanted - there),
            terminate=max(0, min(there - kept, seen.running) - seen.terminating),
        )
        return decision, Past(window, busy_s)

    def _wanted(self, seen: Observation) -> int:
        wanted = max(self.min_workers, self._for_arrivals(seen), self._for_backlog(seen))
        return min(self.max_workers, wanted)

    def _for_arrivals(self, seen: Observation) -> int:
        """None where fewer than one request is expected in the time that workers are kept: a remnant of an average."""
        if seen.arrivals_per_s * max(self.stop_after_s, seen.service_time_s) < 1:
            return 0
        wait_s = max(self.target_s - seen.service_time_s, 0.0)
        return workers_for_wait(
            seen.arrivals_per_s, seen.service_time_s, wait_s, self.late_share, most=self.max_workers
        )

    def _for_backlog(self, seen: Observation) -> int:
        backlog = seen.waiting + seen.in_flight
        if backlog == 0:
            return 0
        within_s = max(self.target_s, seen.start_time_s + seen.service_time_s)
        left_s = backlog * seen.service_time_s - seen.running * within_s
        needed = seen.running + math.ceil(left_s / (within_s - seen.start_time_s)) if left_s > 0 else 0
        enough = math.ceil(backlog * seen.service_time_s / self.target_s)
        return max(needed, min(seen.running + seen.starting, enough))


def machine_workers(cores: int, threads: int, memory_bytes: int, worker_memory_bytes: int) -> int:
    """How many workers a machine has room for: one core for each of their threads, and memory for each; at least 1.

    Raises ValueError: there is none for one worker.
    """
    for name, value in (("threads", threads), ("worker_memory_bytes", worker_memory_bytes)):
        if value < 1:
            raise ValueError(f"{name}: found {value}, expected at least 1")
    if memory_bytes < worker_memory_bytes:
        raise ValueError(f"found {memory_bytes} bytes of memory, expected {worker_memory_bytes} for a worker at least")
    return max(1, min(cores // threads, memory_bytes // worker_memory_bytes))


def _expect_at_least(policy: object, field: str, least: int) -> None:
    value = getattr(policy, field)
    if not value >= least:
        raise ValueError(f"{field}: found {value}, expected at least {least}")
