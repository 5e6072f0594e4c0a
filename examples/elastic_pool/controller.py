# SPDX-License-Identifier: Apache-2.0
"""Starts and ends the workers of a queue on this machine, as a policy says.

with queue_pool(["build/models/mobilenet_v2.prepared"], "work", LatencyTarget(), aws.environment) as pool:
    ...  # Sessions over sqs://work are answered by as many workers as that takes.
    print(pool.now())
"""

from __future__ import annotations

import threading
import time
import traceback
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from common import prices
from elastic_pool.estimates import LoadEstimator
from elastic_pool.history import History, Sample
from elastic_pool.policies import Decision, Observation, Past, Policy
from elastic_pool.pool import Pool
from elastic_pool.terminating import TerminateMessages
from elastic_pool.work_queue import QueueCounts, QueueError, SqsQueue, WorkQueue
from elastic_pool.worker_process import PROGRAM, WorkerCommand


@dataclass(frozen=True)
class ControllerOptions:
    """Times of the controller; those of processes are in PoolOptions."""

    interval_s: float = 1.0  #: Between two looks at the queue, each of which asks the policy. S4's: 5 s.
    tick_s: float = 0.1  #: Between two looks at the workers: who has died, who is idle and gets a terminate message.
    terminate_valid_s: float = 5.0  #: Of a terminate message that no idle worker has got.
    expected_service_s: float = 0.5  #: Until some are measured.
    expected_start_s: float = 2.0

    def __post_init__(self) -> None:
        """Raises ValueError naming the field."""
        for name in ("interval_s", "tick_s", "terminate_valid_s", "expected_service_s", "expected_start_s"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: found {getattr(self, name)}, expected a number of seconds above 0")


class Controller:
    """Works in a thread of its own from `__enter__` to `__exit__`, which returns when all workers have ended.

    Workers end when the thread does, however, so also when this process is killed: they drain then. Methods may be
    called by any thread.
    """

    def __init__(
        self,
        command: WorkerCommand,
        queue: WorkQueue,
        policy: Policy,
        options: ControllerOptions | None = None,
    ) -> None:
        self._policy = policy
        self._history = History()
        self._options = options or ControllerOptions()
        self._queue = queue
        self._pool = Pool(command)
        self._estimator = LoadEstimator(self._options.expected_service_s, self._options.expected_start_s)
        self._messages = TerminateMessages(self._options.terminate_valid_s)
        self._past = Past()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="elastic-pool")
        self._failure = ""
        self._begun_s = 0.0

    def __enter__(self) -> Controller:
        """Returns when the queues are there. Raises QueueError."""
        self._queue.prepare()
        self._begun_s = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        """Workers finish what they have. Raises RuntimeError: the thread had failed (unless there is an error already)."""
        self._stop.set()
        self._thread.join()
        if self._failure and error is None:
            raise RuntimeError(self._failure)

    @property
    def policy(self) -> Policy:
        return self._policy

    @property
    def history(self) -> History:
        """One sample for each look; the last one when all workers have ended."""
        return self._history

    @property
    def failure(self) -> str:
        """Why it has stopped, with all workers, although nobody had asked it to; empty: it has not."""
        return self._failure

    def now(self) -> Sample:
        """Of the last look."""
        return self._history.last()

    def pids(self) -> list[int]:
        """Of the workers' processes that take requests now."""
        return [worker.pid for worker in self._pool.ready()]

    def endpoints(self) -> list[str]:
        """Where they listen."""
        return [worker.endpoint for worker in self._pool.ready()]

    def deaths(self) -> list[str]:
        """Why workers have died that nobody had asked to end; the last ones, oldest first."""
        return self._pool.deaths()

    def wait_ready(self, count: int, timeout_s: float = 60.0) -> None:
        """Until so many workers take requests. Raises RuntimeError: the controller failed; TimeoutError."""
        until_s = time.monotonic() + timeout_s
        while len(ready := self._pool.ready()) < count:
            if self._failure:
                raise RuntimeError(self._failure)
            if time.monotonic() > until_s:
                why = "; ".join(self.deaths()) or self.now().trouble or "none has died"
                raise TimeoutError(f"{len(ready)} workers are ready after {timeout_s} s, expected {count}: {why}")
            time.sleep(0.01)

    def _run(self) -> None:
        next_look_s = 0.0
        try:
            while not self._stop.is_set():
                died = self._pool.watch()
                for start_s in self._pool.take_start_times():
                    self._estimator.started(start_s)
                self._offer()
                if died or time.monotonic() >= next_look_s:
                    next_look_s = time.monotonic() + self._options.interval_s
                    self._look()
                self._stop.wait(self._options.tick_s)
        except Exception as error:
            self._failure = f"the controller failed: {error!r}\n{traceback.format_exc()}"
        finally:
            self._pool.close()
            self._record(QueueCounts(0, 0), Decision(), self._failure)

    def _offer(self) -> None:
        """Terminate messages to the workers that have nothing to do, those first that have been so for long."""
        for worker in self._pool.idle():
            if not self._messages.take(time.monotonic()):
                return
            self._pool.drain(worker)

    def _look(self) -> None:
        try:
            counts = self._queue.counts()
        except QueueError as error:
            self._record(QueueCounts(self.now().waiting, self.now().in_flight), Decision(), str(error))
            return
        work = self._pool.work()
        self._estimator.look(time.monotonic(), counts.waiting, counts.in_flight, work.ended, work.work_s)
        decision, self._past = self._policy.decide(self._observe(counts), self._past)
        self._messages.send(decision.terminate, time.monotonic())
        self._pool.start(decision.start)
        self._record(counts, decision, self._pool.trouble())

    def _observe(self, counts: QueueCounts) -> Observation:
        now_s = time.monotonic()
        return Observation(
            now_s=now_s,
            waiting=counts.waiting,
            in_flight=counts.in_flight,
            running=len(self._pool.ready()),
            starting=len(self._pool.starting()),
            idle=len(self._pool.idle()),
            terminating=self._messages.waiting(now_s),
            arrivals_per_s=self._estimator.arrivals_per_s,
            service_time_s=self._estimator.service_time_s,
            start_time_s=self._estimator.start_time_s,
            oldest_age_s=self._estimator.oldest_age_s,
        )

    def _record(self, counts: QueueCounts, decision: Decision, trouble: str) -> None:
        totals = self._pool.totals()
        self._history.add(
            Sample(
                time_s=time.monotonic() - self._begun_s,
                waiting=counts.waiting,
                in_flight=counts.in_flight,
                running=len(self._pool.ready()),
                starting=len(self._pool.starting()),
                idle=len(self._pool.idle()),
                draining=len(self._pool.draining()),
                arrivals_per_s=self._estimator.arrivals_per_s,
                service_time_s=self._estimator.service_time_s,
                oldest_age_s=self._estimator.oldest_age_s,
                latency_s=self._estimator.latency_s,
                answered=self._pool.work().answered,
                started=totals.started,
                died=totals.died,
                worker_s=totals.worker_s,
                dollars=totals.worker_s * prices.MACHINE_CORE_SECOND,
                decided=decision.start - decision.terminate,
                trouble=trouble,
            )
        )


def queue_pool(
    models: Sequence[str | Path],
    queue: str,
    policy: Policy,
    environment: Mapping[str, str] | None = None,
    arguments: Sequence[str] = (),
    options: ControllerOptions | None = None,
    program: Path = PROGRAM,
) -> Controller:
    """Of splitnet-workers with these models behind a queue of SQS, which is made with its dead-letter queue if it is not
    there. `arguments` are the workers' own (--threads 1, --cut …); `environment` says which AWS (LocalAws.environment); `program` takes them all."""
    command = WorkerCommand(models, f"sqs://{queue}", arguments, environment, program)
    return Controller(command, SqsQueue(queue, environment), policy, options)
