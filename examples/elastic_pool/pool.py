# SPDX-License-Identifier: Apache-2.0
"""The worker processes of a controller: who starts, works, idles, drains, has died and why."""

from __future__ import annotations

import collections
import contextlib
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from elastic_pool import worker_metrics
from elastic_pool.worker_metrics import WorkerMetrics
from elastic_pool.worker_process import WorkerCommand, WorkerProcess, end_all

_ASK_TIMEOUT_S = 1.0
_ASKED_AT_ONCE = 8
_KEPT_DEATHS = 50


@dataclass(frozen=True)
class PoolOptions:
    """Patience with processes."""

    start_timeout_s: float = 120.0  #: A worker that isn't ready by then is killed.
    silent_timeout_s: float = (
        20.0  #: One that doesn't answer at /metrics for so long, likewise: its requests come again.
    )
    drain_timeout_s: float = (
        40.0  #: One that still drains then, likewise; more than the workers' own --drain-timeout, 30 s.
    )
    first_pause_s: float = (
        1.0  #: No worker is started for so long after one has died at once; doubles with each of them.
    )
    longest_pause_s: float = 30.0
    at_once_s: float = 1.0  #: Before it was ready, or so soon after without having done anything.


@dataclass(frozen=True)
class Totals:
    """Of all workers there have been."""

    started: int
    died: int
    worker_s: float


@dataclass
class _Worker:
    process: WorkerProcess
    metrics: WorkerMetrics = WorkerMetrics()
    heard_s: float | None = None  #: When it has answered at /metrics last.
    idle_since_s: float | None = None
    drains_since_s: float | None = None
    asked: Future[None] | None = None
    start_told: bool = False
    killed_for: str = ""


class Pool:
    """`start`, `watch`, `drain` and `close` are for one thread, which the workers do not outlive; the rest for any.

    Workers are asked what they do by a few threads more, each at most once at a time.
    """

    def __init__(self, command: WorkerCommand, options: PoolOptions | None = None) -> None:
        self._command = command
        self._options = options or PoolOptions()
        self._workers: list[_Worker] = []
        self._lock = threading.Lock()  #: Of the list and of what is counted.
        self._askers = ThreadPoolExecutor(_ASKED_AT_ONCE, "ask-workers")
        self._deaths: collections.deque[str] = collections.deque(maxlen=_KEPT_DEATHS)
        self._started = 0
        self._died = 0
        self._gone_work = WorkerMetrics()
        self._gone_s = 0.0
        self._died_at_once = 0  # Since a worker that was started after the last one has done something.
        self._last_at_once_s = 0.0
        self._pause_until_s = 0.0
        self._oom_kills = _oom_kills()

    def start(self, count: int) -> None:
        """None as long as workers die at once."""
        if count and time.monotonic() < self._pause_until_s:
            return
        for _ in range(count):
            self._started += 1
            try:
                process = WorkerProcess(self._command, self._started)
            except OSError as error:
                self._note_death(f"worker {self._started} could not be started: {error}", at_once=True)
                return
            with self._lock:
                self._workers.append(_Worker(process))

    def watch(self) -> bool:
        """Looks after all: whether one has died."""
        died_before = self._died
        for worker in self._all():
            if worker.process.poll():
                self._remove(worker)
                continue
            self._lose_patience(worker)
            if worker.process.ready_s is not None and (worker.asked is None or worker.asked.done()):
                worker.asked = self._askers.submit(self._ask, worker)  # Who doesn't answer keeps nobody waiting.
        return self._died > died_before

    def take_start_times(self) -> list[float]:
        """Seconds from process to ready, of those that got ready since the last time this was asked."""
        found = []
        for worker in self._all():
            if worker.process.ready_s is not None and not worker.start_told:
                worker.start_told = True
                found.append(worker.process.ready_s - worker.process.started_s)
        return found

    def drain(self, process: WorkerProcess) -> None:
        """Has it finish what it has, and end."""
        for worker in self._all():
            if worker.process is process:
                worker.drains_since_s = time.monotonic()
                process.drain()

    def close(self) -> None:
        """Drains all; returns when they have ended."""
        self._askers.shutdown()
        end_all([worker.process for worker in self._all()], self._options.drain_timeout_s)
        for worker in self._all():
            self._remove(worker)

    def ready(self) -> list[WorkerProcess]:
        """Those that take requests."""
        return [worker.process for worker in self._all() if worker.process.ready_s is not None and not _drains(worker)]

    def starting(self) -> list[WorkerProcess]:
        return [worker.process for worker in self._all() if worker.process.ready_s is None and not _drains(worker)]

    def draining(self) -> list[WorkerProcess]:
        return [worker.process for worker in self._all() if _drains(worker)]

    def idle(self) -> list[WorkerProcess]:
        """Of the ready ones, those with nothing to do; the one that has been so for longest first."""
        found = [
            (one.idle_since_s, one.process) for one in self._all() if one.idle_since_s is not None and not _drains(one)
        ]
        return [process for _, process in sorted(found, key=lambda pair: pair[0])]

    def work(self) -> WorkerMetrics:
        """Of all workers there have been."""
        with self._lock:
            everyone = [self._gone_work, *(worker.metrics for worker in self._workers)]
        return _sum(everyone)

    def totals(self) -> Totals:
        with self._lock:
            lives_s = self._gone_s + sum(worker.process.life_s for worker in self._workers)
            return Totals(self._started, self._died, lives_s)

    def deaths(self) -> list[str]:
        with self._lock:
            return list(self._deaths)

    def trouble(self) -> str:
        """Why no workers are started now; empty: they are."""
        left_s = self._pause_until_s - time.monotonic()
        return f"none is started for {left_s:.0f} s: {self.deaths()[-1]}" if left_s > 0 else ""

    def _all(self) -> list[_Worker]:
        with self._lock:
            return list(self._workers)

    def _ask(self, worker: _Worker) -> None:
        now_s = time.monotonic()
        worker.heard_s = worker.heard_s or now_s
        try:
            found = worker_metrics.ask(worker.process.status_url, _ASK_TIMEOUT_S)
        except (OSError, ValueError):
            worker.idle_since_s = None
            return
        worker.heard_s = now_s
        quiet = found.held == 0 and found.ended == worker.metrics.ended
        worker.idle_since_s = (worker.idle_since_s or now_s) if quiet else None
        worker.metrics = found
        with self._lock:
            if found.ended and worker.process.started_s > self._last_at_once_s:
                self._died_at_once = 0

    def _lose_patience(self, worker: _Worker) -> None:
        now_s, options, why = time.monotonic(), self._options, ""
        if worker.drains_since_s is not None:
            if now_s - worker.drains_since_s > options.drain_timeout_s:
                why = f"it had not drained after {options.drain_timeout_s:g} s"
        elif worker.process.ready_s is None:
            if now_s - worker.process.started_s > options.start_timeout_s:
                why = f"it was not ready after {options.start_timeout_s:g} s"
        elif worker.heard_s is not None and now_s - worker.heard_s > options.silent_timeout_s:
            why = f"it had not answered for {options.silent_timeout_s:g} s"
        if why and not worker.killed_for:
            worker.killed_for = why
            worker.process.kill()

    def _remove(self, worker: _Worker) -> None:
        process = worker.process
        with self._lock:
            self._workers.remove(worker)
            self._gone_work = _sum([self._gone_work, worker.metrics])
            self._gone_s += process.life_s
        reason = worker.killed_for or process.reason()
        if not reason:
            return
        if out_of_memory := _oom_kills() - self._oom_kills:
            self._oom_kills += out_of_memory
            reason += "; the kernel was out of memory"
        at_once = not worker.metrics.ended and process.life_s - _start_s(process) < self._options.at_once_s
        self._note_death(f"worker {process.number} (process {process.pid}): {reason}", at_once)

    def _note_death(self, words: str, at_once: bool) -> None:
        with self._lock:
            self._died += 1
            self._deaths.append(words)
            if at_once:
                pause_s = min(self._options.first_pause_s * 2**self._died_at_once, self._options.longest_pause_s)
                self._died_at_once += 1
                self._last_at_once_s = time.monotonic()
                self._pause_until_s = self._last_at_once_s + pause_s


def _drains(worker: _Worker) -> bool:
    return worker.drains_since_s is not None


def _start_s(process: WorkerProcess) -> float:
    return process.life_s if process.ready_s is None else process.ready_s - process.started_s


def _sum(metrics: list[WorkerMetrics]) -> WorkerMetrics:
    return WorkerMetrics(
        ended=sum(one.ended for one in metrics),
        answered=sum(one.answered for one in metrics),
        work_s=sum(one.work_s for one in metrics),
        held=sum(one.held for one in metrics),
    )


def _oom_kills() -> int:
    """How many processes of this machine the kernel has killed for want of memory, its control groups' included."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0
