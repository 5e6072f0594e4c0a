# SPDX-License-Identifier: Apache-2.0
"""A function's execution environments: started when a call finds none idle, used again, never by two calls at once."""

from __future__ import annotations

import base64
import collections
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .configuration import Function
from .emulator import Answer, Emulator, PortTaken
from .invocation import Invocation
from .limits import Limits, Support

_LOG_LINES = 10_000
_TAIL_BYTES = 4096
_START_TRIES = 5


class Throttled(Exception):
    """As many calls as the function may have at a time are running."""


@dataclass(frozen=True)
class Result:
    payload: bytes
    error: str | None
    request_id: str
    log_tail: bytes
    """Base64 of the last 4 KB of what the call has logged."""


class FunctionPool:
    """Runs one function. Belongs to one event loop."""

    def __init__(
        self,
        function: Function,
        environment: Mapping[str, str],
        support: Support,
        on_log: Callable[[str, str], None],
    ) -> None:
        """Raises ValueError for a command or folder that is not there."""
        _check_files(function)
        self.function = function
        self.invocations: list[Invocation] = []
        self.log: collections.deque[str] = collections.deque(maxlen=_LOG_LINES)
        self._environment = {**lambda_environment(function), **environment, **function.environment}
        self._support = support
        self._on_log = on_log
        self._idle: list[Emulator] = []
        self._busy: set[Emulator] = set()
        self._calls = 0

    async def invoke(self, event: bytes, headers: Mapping[str, str]) -> Result:
        """Raises Throttled; OSError when no environment could be started."""
        if self._calls >= self.function.concurrency:
            raise Throttled(self.function.name)
        self._calls += 1
        lines: list[str] = []
        emulator: Emulator | None = None
        answer: Answer | None = None
        try:
            emulator = self._idle.pop() if self._idle else await self._start()
            emulator.log_to(lambda line: self._write(line, lines))
            self._busy.add(emulator)
            answer = await emulator.invoke(event, headers)
            invocation = self._record(answer)
            self._write(invocation.report(), lines)
            tail = "\n".join([*lines, ""]).encode()[-_TAIL_BYTES:]
            return Result(answer.payload, answer.error, answer.request_id, base64.b64encode(tail))
        finally:
            self._calls -= 1
            if emulator:
                await self._put_back(emulator, answer is not None and answer.survives)

    async def _start(self) -> Emulator:
        for _ in range(_START_TRIES):
            limits = Limits(self._support, self.function.vcpus, self.function.memory_megabytes)
            emulator = Emulator(self.function, self._environment, limits, lambda line: self._write(line, []))
            try:
                await emulator.ready()
                return emulator
            except PortTaken:
                await emulator.stop()
            except BaseException:
                await emulator.stop()
                raise
        raise OSError(f"no free ports for the emulator of '{self.function.name}' in {_START_TRIES} tries")

    async def _put_back(self, emulator: Emulator, survives: bool) -> None:
        self._busy.discard(emulator)
        if survives:
            self._idle.append(emulator)
        else:
            await emulator.stop()

    def _record(self, answer: Answer) -> Invocation:
        invocation = Invocation(
            request_id=answer.request_id,
            is_cold=answer.init_s is not None,
            init_s=answer.init_s or 0.0,
            duration_s=answer.duration_s,
            memory_megabytes=self.function.memory_megabytes,
            peak_memory_bytes=answer.peak_memory_bytes,
            error=answer.error,
        )
        self.invocations.append(invocation)
        return invocation

    def _write(self, line: str, lines: list[str]) -> None:
        lines.append(line)
        self.log.append(line)
        self._on_log(self.function.name, line)

    async def recycle(self) -> int:
        """Ends the idle environments and says how many they were: the next call is cold."""
        idle, self._idle = self._idle, []
        for emulator in idle:
            await emulator.stop()
        return len(idle)

    async def close(self) -> None:
        await self.recycle()
        for emulator in list(self._busy):
            await emulator.stop()


def _check_files(function: Function) -> None:
    program = function.command[0]
    if not os.path.isfile(program) or not os.access(program, os.X_OK):
        raise ValueError(f"command of function '{function.name}' is {program}, expected an executable file")
    if not os.path.isdir(function.working_directory):
        raise ValueError(f"directory of function '{function.name}' is {function.working_directory}, expected a folder")


def lambda_environment(function: Function) -> dict[str, str]:
    """lambda/latest/dg/configuration-envvars: the defined variables of a custom runtime."""
    return {
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_megabytes),
        "AWS_LAMBDA_FUNCTION_TIMEOUT": str(function.timeout_s),
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.name}",
        "LAMBDA_TASK_ROOT": function.working_directory,
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "PATH": os.environ["PATH"],
    }
