# SPDX-License-Identifier: Apache-2.0
"""The device side: runs the head here and has workers run the rest."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Protocol

from splitnet import _core
from splitnet.arguments import check_endpoint, check_model, given
from splitnet.closing import close_at_exit
from splitnet.errors import InvalidArgument
from splitnet.event_loop import in_event_loop
from splitnet.partitioner import CutLike, as_cut
from splitnet.planning import TwoTierPlan, as_objective, planning_options


class Policy(Protocol):
    """Says, before each inference, where its parts run.

    Called from threads of the session, one call at a time holding the GIL; takes microseconds, please. What it raises
    goes to `sys.unraisablehook`, and the inference runs on the device.
    """

    def decide(self, situation: _core.Situation) -> _core.Decision:
        """Before an inference."""

    def learn(self, outcome: _core.Outcome) -> None:
        """How an inference, or a probe, ended."""


#: Makes a policy from what the session measured: (problem, is_legal, objective, constraints).
PolicyFactory = Callable[
    [_core.PlanningProblem, Callable[[list[list[int]]], bool], _core.Objective, _core.Constraints], Policy
]


class Future(concurrent.futures.Future[_core.Answer]):
    """An answer to come: `result()` waits for it, `await` does so in asyncio, `cancel()` ends the inference.

    Callbacks (`add_done_callback`) run on a thread of the session: they must not block, nor close the session.
    """

    def __init__(self) -> None:
        super().__init__()
        self._stop: _core.StopSource | None = None

    def cancel(self) -> bool:
        """Ends the inference. False when the answer is there already."""
        cancelled = super().cancel()
        if cancelled and self._stop is not None:
            self._stop.request_stop()
        return cancelled

    def __await__(self) -> Generator[Any, None, _core.Answer]:
        return asyncio.wrap_future(self).__await__()

    def _tell(self, answer: _core.Answer | None, error: Exception | None) -> None:
        if not self.set_running_or_notify_cancel():
            return
        if answer is not None:
            self.set_result(answer)
        else:
            self.set_exception(error)


class Session:
    """One model on this device and workers.

    Forms: `Session(model, plan)`, with what `splitnet.plan` found; `worker` and `cut`; `worker` and `objective` (it
    plans when it opens); `workers` and `cuts` (several stages, one for each worker); none of them (device only). With a
    plan or an objective, `policy` decides anew before each inference: "adaptive", AdaptiveOptions, or a function that
    makes a Policy. `options` has everything else; what stands in keywords takes its place.

    `deadline_s` counts from the call of each inference. What workers don't do in time, or at all, the device finishes,
    unless `finish_on_device` is off.

    Thread-safe. Close it, or use it in a `with`; what is left at the end of the program is closed then. Raises, when it
    opens, InvalidArgument, UnsupportedModel (a refused cut), Unavailable (nobody there), Incompatible (the worker has
    another model), DeadlineExceeded, Overloaded.
    """

    def __init__(
        self,
        model: _core.Model,
        plan: TwoTierPlan | None = None,
        *,
        worker: str = "",
        cut: CutLike | None = None,
        codec: str | None = None,
        objective: str | _core.Objective | None = None,
        policy: str | _core.AdaptiveOptions | PolicyFactory | None = None,
        workers: Sequence[str] = (),
        cuts: Sequence[CutLike] = (),
        spare_workers: Sequence[str] | None = None,
        deadline_s: float | None = None,
        threads: int | None = None,
        max_in_flight: int | None = None,
        finish_on_device: bool | None = None,
        token: str = "",
        registry: _core.TransportRegistry | None = None,
        trace_recorder: _core.TraceRecorder | None = None,
        options: _core.SessionOptions | None = None,
    ) -> None:
        check_model(model)
        check_endpoint(worker)
        if plan is not None and not isinstance(plan, TwoTierPlan):
            raise InvalidArgument(f"plan: found {plan!r}, expected what splitnet.plan gave; an endpoint is worker=…")
        settings = (options or _core.SessionOptions()).replace(
            **given(
                worker=worker or None,
                cut=None if cut is None else as_cut(cut),
                codec=codec,
                objective=None if objective is None else as_objective(objective),
                workers=list(workers) or None,
                cuts=[as_cut(one) for one in cuts] or None,
                spare_workers=None if spare_workers is None else list(spare_workers),
                deadline_s=deadline_s,
                threads=threads,
                max_in_flight=max_in_flight,
                finish_on_device=finish_on_device,
                connect=_core.ConnectOptions(token=token) if token else None,
                registry=registry,
                trace_recorder=trace_recorder,
            )
        )
        if plan is not None:
            settings = _with_plan(settings, plan)
        self._core = _core.Session.open(model, settings, _policy(policy))
        self._process = os.getpid()
        self._deadline_s = settings.deadline_s
        # One thread hands over what a running event loop submits, so that back-pressure never stops the loop.
        self._submitter = concurrent.futures.ThreadPoolExecutor(1, "splitnet-submit")
        close_at_exit(self)

    def __call__(self, *inputs: Any) -> Any:
        """What the model gives for these inputs."""
        return self.run(*inputs).output

    def run(
        self, *inputs: Any, deadline_s: float | None = None, trace: _core.TraceContext | None = None
    ) -> _core.Answer:
        """One inference; the head runs on the calling thread. Says where the time went, and who answered."""
        self._check_process()
        return self._core.run(inputs, deadline_s, trace or _core.TraceContext())

    def submit(self, *inputs: Any, deadline_s: float | None = None, trace: _core.TraceContext | None = None) -> Future:
        """One inference in a pipeline: heads run one after the other while earlier inferences travel.

        Waits for a place when `max_in_flight` are under way (back-pressure), except where an asyncio loop runs: there
        it returns at once, and the future waits. Every error arrives through the future.
        """
        self._check_process()
        future = Future()
        longest_s = self._deadline_s if deadline_s is None else deadline_s
        begun_s = time.monotonic()

        def hand_over() -> None:
            try:
                left_s = None if longest_s is None else longest_s - (time.monotonic() - begun_s)
                future._stop = self._core.submit(inputs, future._tell, left_s, trace or _core.TraceContext())
            except Exception as error:
                future._tell(None, error)
                return
            if future.cancelled():
                future._stop.request_stop()

        if in_event_loop():
            try:
                self._submitter.submit(hand_over)
                return future
            except RuntimeError:
                pass  # It is closed: no waiting, and the future says so.
        hand_over()
        return future

    def map(self, inputs: Iterable[Any], *, in_flight: int = 8) -> Iterator[Any]:
        """The outputs for many inputs, in their order, pipelined; each input is a tensor or a tuple of inputs.

        At most `in_flight` are under way. Raises, at its place, what an inference failed with.
        """
        if in_flight < 1:
            raise InvalidArgument(f"in_flight is {in_flight}, expected at least 1")
        under_way: deque[Future] = deque()
        try:
            for one in inputs:
                under_way.append(self.submit(*(one if isinstance(one, tuple) else (one,))))
                if len(under_way) == in_flight:
                    yield under_way.popleft().result().output
            while under_way:
                yield under_way.popleft().result().output
        finally:
            for future in under_way:
                future.cancel()

    @property
    def plan(self) -> _core.Plan | None:
        """The plan behind the objective; None without one."""
        return self._core.plan

    def explain(self, rows: int = 20) -> str:
        """The plan as a table with a verdict; empty without an objective."""
        return self._core.explain(rows)

    @property
    def decisions(self) -> list[_core.DecisionRecord]:
        """The latest decisions, oldest first; none without an objective."""
        return self._core.decisions

    @property
    def stats(self) -> _core.SessionStats:
        """Counters since the session was opened."""
        return self._core.stats

    def _check_process(self) -> None:
        """A forked process has none of the session's threads, and would wait for ever."""
        if os.getpid() != self._process:
            raise InvalidArgument("this session was opened before the fork: open one in each process")

    def __repr__(self) -> str:
        stats = self._core.stats
        return f"<Session: {stats.answered} answered, {stats.failed} failed>"

    def close(self) -> None:
        """Ends what is in flight with Cancelled, and closes the connections. Idempotent."""
        self._core.close()
        self._submitter.shutdown()  # What was not handed over ends with Cancelled, too.

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _with_plan(settings: _core.SessionOptions, plan: TwoTierPlan) -> _core.SessionOptions:
    """The session plans again, from what was measured, and comes to the same plan."""
    _ = plan.chosen  # Raises where there is none.
    device, worker = plan.problem.tiers
    known = planning_options(settings.planning, plan.problem.codecs, threads=device.profile.threads).replace(
        device=device,
        worker=worker,
        link=plan.link,
        power=plan.problem.power,
        leakages=plan.problem.leakages,
    )
    return settings.replace(
        threads=device.profile.threads,
        worker=plan.worker,
        objective=plan.plan.objective,
        constraints=plan.constraints,
        planning=known,
    )


def _policy(policy: str | _core.AdaptiveOptions | PolicyFactory | None) -> _core.AdaptiveOptions | PolicyFactory | None:
    if policy == "adaptive":
        return _core.AdaptiveOptions()
    if isinstance(policy, str):
        raise InvalidArgument(f"policy {policy!r} is unknown, expected adaptive, AdaptiveOptions or a function")
    return policy
