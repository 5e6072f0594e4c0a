# SPDX-License-Identifier: Apache-2.0
"""The policies with as many machines' worth of workers as one likes: a discrete-event simulation.

Everything that comes out of it is simulated: service and start times are drawn at random, messages cost nothing, counts are
exact. What it shares with real pools are the policies, the estimator and the terminate messages themselves.
"""

from __future__ import annotations

import functools
import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from common import prices
from elastic_pool.estimates import LoadEstimator
from elastic_pool.history import Sample
from elastic_pool.policies import Observation, Past, Policy
from elastic_pool.terminating import TerminateMessages

Draw = Callable[[random.Random], float]


def exponential(mean_s: float) -> Draw:
    """Times without memory, as in an M/M/c queue."""
    return lambda dice: dice.expovariate(1 / mean_s)


def around(mean_s: float, spread: float = 0.1) -> Draw:
    """Evenly between mean·(1 − spread) and mean·(1 + spread): more like a pass of a network."""
    return lambda dice: mean_s * dice.uniform(1 - spread, 1 + spread)


@dataclass(frozen=True)
class SimulatedPool:
    """What is simulated beside the policy."""

    service_s: Draw  #: Of a request, by one worker.
    start_s: Draw  #: From the decision to start a worker until it takes requests.
    interval_s: float = 1.0
    terminate_valid_s: float = 5.0
    workers: int = 0  #: That are there at the beginning.
    seed: int = 1
    expected_service_s: float = 0.5
    expected_start_s: float = 2.0


@dataclass
class Outcome:
    """Of a run, simulated or real."""

    samples: list[Sample] = field(default_factory=list)  #: One for each look.
    requests: list[tuple[float, float]] = field(
        default_factory=list
    )  #: (arrived_s, latency_s), in the order of answers.


@dataclass(eq=False)
class _Worker:
    started_s: float


class Simulation:
    """One run of a policy: `run` it once."""

    def __init__(self, policy: Policy, arrivals_s: Sequence[float], pool: SimulatedPool) -> None:
        self._policy = policy
        self._pool = pool
        self._dice = random.Random(pool.seed)
        self._now_s = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._queue: deque[float] = deque()
        self._busy = 0
        self._work_s = 0.0
        self._workers: list[_Worker] = []
        self._idle: deque[_Worker] = deque()  #: Who has been so for longest is first, and gets the next request.
        self._gone_s = 0.0
        self._started = 0
        self._to_come = len(arrivals_s)
        self._messages = TerminateMessages(pool.terminate_valid_s)
        self._estimator = LoadEstimator(pool.expected_service_s, pool.expected_start_s)
        self._past = Past()
        self._outcome = Outcome()
        for arrival_s in arrivals_s:
            self._at(arrival_s, self._arrive)
        for _ in range(pool.workers):
            self._start(0.0)

    def run(self, until_s: float) -> Outcome:
        """Until then, and on until all requests are answered."""
        self._at(0.0, self._look)
        while self._events:
            self._now_s, _, event = heapq.heappop(self._events)
            if self._now_s > until_s and not (self._to_come or self._queue or self._busy):
                break
            event()
        return self._outcome

    def _at(self, time_s: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (time_s, next(self._order), event))

    def _arrive(self) -> None:
        self._to_come -= 1
        self._queue.append(self._now_s)
        self._serve()

    def _start(self, after_s: float) -> None:
        worker = _Worker(self._now_s)
        self._workers.append(worker)
        self._started += 1

        def ready() -> None:
            if after_s:
                self._estimator.started(after_s)
            self._be_idle(worker)

        self._at(self._now_s + after_s, ready)

    def _be_idle(self, worker: _Worker) -> None:
        self._idle.append(worker)
        self._serve()
        self._offer()

    def _serve(self) -> None:
        while self._queue and self._idle:
            worker = self._idle.popleft()
            arrived_s, service_s = self._queue.popleft(), self._pool.service_s(self._dice)
            self._busy += 1
            self._at(self._now_s + service_s, functools.partial(self._answer, worker, arrived_s, service_s))

    def _answer(self, worker: _Worker, arrived_s: float, service_s: float) -> None:
        self._busy -= 1
        self._work_s += service_s
        self._outcome.requests.append((arrived_s, self._now_s - arrived_s))
        self._be_idle(worker)

    def _offer(self) -> None:
        while self._idle and self._messages.take(self._now_s):
            worker = self._idle.popleft()
            self._workers.remove(worker)
            self._gone_s += self._now_s - worker.started_s

    def _look(self) -> None:
        ended, waiting = len(self._outcome.requests), len(self._queue)
        self._estimator.look(self._now_s, waiting, self._busy, ended, self._work_s)
        decision, self._past = self._policy.decide(self._observe(), self._past)
        for _ in range(decision.start):
            self._start(self._pool.start_s(self._dice))
        self._messages.send(decision.terminate, self._now_s)
        self._offer()
        self._record(decision.start - decision.terminate)
        self._at(self._now_s + self._pool.interval_s, self._look)

    def _observe(self) -> Observation:
        running = len(self._idle) + self._busy
        return Observation(
            now_s=self._now_s,
            waiting=len(self._queue),
            in_flight=self._busy,
            running=running,
            starting=len(self._workers) - running,
            idle=len(self._idle),
            terminating=self._messages.waiting(self._now_s),
            arrivals_per_s=self._estimator.arrivals_per_s,
            service_time_s=self._estimator.service_time_s,
            start_time_s=self._estimator.start_time_s,
            oldest_age_s=self._estimator.oldest_age_s,
        )

    def _record(self, decided: int) -> None:
        seen = self._observe()
        worker_s = self._gone_s + sum(self._now_s - worker.started_s for worker in self._workers)
        self._outcome.samples.append(
            Sample(
                time_s=self._now_s,
                waiting=seen.waiting,
                in_flight=seen.in_flight,
                running=seen.running,
                starting=seen.starting,
                idle=seen.idle,
                arrivals_per_s=seen.arrivals_per_s,
                service_time_s=seen.service_time_s,
                oldest_age_s=seen.oldest_age_s,
                latency_s=self._estimator.latency_s,
                answered=len(self._outcome.requests),
                started=self._started,
                worker_s=worker_s,
                dollars=worker_s * prices.MACHINE_CORE_SECOND,
                decided=decided,
            )
        )


def simulate(policy: Policy, arrivals_s: Sequence[float], pool: SimulatedPool, until_s: float) -> Outcome:
    """One run; the same for the same seed."""
    return Simulation(policy, arrivals_s, pool).run(until_s)
