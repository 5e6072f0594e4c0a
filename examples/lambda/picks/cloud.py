# SPDX-License-Identifier: Apache-2.0
"""The network in functions of several memory sizes, and calls of them one by one."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import splitnet
from common import prices
from common.environment import in_environment
from local_aws import Function, Invocation, LocalAws
from local_aws.tail_function import tail_function
from picks.errors import CheckError
from picks.scenarios import Link, Placement
from picks.verdicts import Samples

PAUSE_S = 0.05  #: Before each call: quotas fill up again, and profiles were taken after idling too.
_RECORD_TIMEOUT_S = 10.0


class Cloud:
    """One function for each memory size, and `profiled`, which has an example input and a whole processor."""

    def __init__(self, aws: LocalAws, functions: dict[int, Function], profiled: Function) -> None:
        self._aws = aws
        self.functions = functions
        self.profiled = profiled
        self._seen: dict[int, int] = dict.fromkeys(functions, 0)

    @staticmethod
    @contextmanager
    def of(model: Path, shape: Sequence[int], sizes: Sequence[int]) -> Iterator[Cloud]:
        """With the environment that reaches it. Raises CheckError: this machine can't simulate memory sizes."""

        def function(name: str, size: int, inputs: Sequence[str] = ()) -> Function:
            return tail_function(name, model, inputs=inputs, memory_megabytes=size, timeout_s=120, concurrency=1)

        profiled = function("profiled", 1769, ["x".join(str(size) for size in shape)])
        functions = {size: function(f"tail-{size}", size) for size in sizes}
        with LocalAws(functions=[profiled, *functions.values()]) as aws:
            if not aws.simulates_memory:
                raise CheckError(f"this machine can't simulate memory sizes: {aws.limits}")
            with in_environment(aws.environment):
                yield Cloud(aws, functions, profiled)

    def recycle(self, function: Function) -> None:
        """Its next call is cold."""
        self._aws.recycle(function.name)

    def new_invocations(self, size: int, at_least: int = 0) -> list[Invocation]:
        """Since the last time this was asked; waits for the record of so many."""
        name = self.functions[size].name
        give_up_s = time.monotonic() + _RECORD_TIMEOUT_S
        while True:
            every = self._aws.invocations(name)
            if len(every) >= self._seen[size] + at_least:
                new, self._seen[size] = every[self._seen[size] :], len(every)
                return new
            if time.monotonic() > give_up_s:
                raise CheckError(f"{name}: found no record of {at_least} invocations in {_RECORD_TIMEOUT_S:.0f} s")
            time.sleep(0.01)


@dataclass(frozen=True)
class Call:
    """One inference."""

    latency_s: float
    times: splitnet.StepTimes
    invocation: Invocation | None  #: None: device only.


class Runner:
    """Runs placements, each through a session of its own that stays open."""

    def __init__(self, part: splitnet.Partitioner, cloud: Cloud, links: Sequence[Link], stack: ExitStack) -> None:
        self._part, self._cloud, self._stack = part, cloud, stack
        self._links = {link.name: link for link in links}
        self._sessions: dict[Placement, splitnet.Session] = {}

    def call(self, placement: Placement, is_cold: bool) -> Call:
        """Raises CheckError when the function is not as cold or hot as it should be."""
        session = self._session(placement)
        size = placement.memory_megabytes
        if placement.is_remote:
            if is_cold:
                self._cloud.recycle(self._cloud.functions[size])
            self._cloud.new_invocations(size)
        time.sleep(PAUSE_S)
        began_s = time.perf_counter()
        answer = session.run(*self._part.example_inputs)
        took_s = time.perf_counter() - began_s
        if not placement.is_remote:
            return Call(took_s, answer.times, None)
        found = self._cloud.new_invocations(size, at_least=1)
        is_as_asked = len(found) == 1 and found[0].is_cold == is_cold and (found[0].init_s > 0) == is_cold
        if not is_as_asked or found[0].error:
            raise CheckError(f"{placement}: invocations are {found}, expected one, {'cold' if is_cold else 'hot'}")
        return Call(took_s, answer.times, found[0])

    def measure(self, placements: Sequence[Placement], is_cold: bool, rounds: int) -> dict[Placement, Samples]:
        """Each once in every round, in an order that is drawn anew, so that whatever disturbs the machine disturbs all."""
        measured = {placement: Samples() for placement in placements}
        draw = random.Random(1)
        for _ in range(rounds):
            for placement in draw.sample(placements, len(placements)):
                call = self.call(placement, is_cold and placement.is_remote)
                measured[placement].latency_s.append(call.latency_s)
                measured[placement].dollars.append(dollars_of(call, placement.memory_megabytes))
        return measured

    def _session(self, placement: Placement) -> splitnet.Session:
        if placement not in self._sessions:
            self._sessions[placement] = self._stack.enter_context(self._open(placement))
        return self._sessions[placement]

    def _open(self, placement: Placement) -> splitnet.Session:
        if not placement.is_remote:
            return splitnet.Session(self._part, threads=1)
        function = self._cloud.functions[placement.memory_megabytes].name
        cut = splitnet.Cut.after_index(placement.head_layers - 1) if placement.head_layers else splitnet.Cut.at_input()
        return splitnet.Session(
            self._part,
            worker=self._links[placement.link].endpoint(function),
            cut=cut,
            codec=placement.codec,
            threads=1,
            finish_on_device=False,
        )


def dollars_of(call: Call, memory_megabytes: int) -> float:
    return 0.0 if call.invocation is None else prices.function_dollars(call.invocation.billed_s, memory_megabytes)
