# SPDX-License-Identifier: Apache-2.0
"""AWS on loopback for the time of a `with` block."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import types
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .configuration import REGION, Configuration, Function, S3Trigger, SqsSource
from .invocation import Invocation

_STOP_TIMEOUT_S = 15.0


class LocalAws:
    """Functions, buckets, tables and queues on loopback, in a process of their own. Its methods may be called by any thread."""

    def __init__(
        self,
        functions: Iterable[Function] = (),
        buckets: Iterable[str] = (),
        tables: Iterable[tuple[str, str]] = (),
        triggers: Iterable[S3Trigger] = (),
        queues: Iterable[str] = (),
        sources: Iterable[SqsSource] = (),
        region: str = REGION,
        expired_session_tokens: Iterable[str] = (),
        configuration: Configuration | None = None,
    ) -> None:
        """Either the parts or a whole configuration. Raises ValueError."""
        self.configuration = configuration or Configuration(
            functions=list(functions),
            buckets=list(buckets),
            tables=list(tables),
            queues=list(queues),
            triggers=list(triggers),
            sources=list(sources),
            region=region,
            expired_session_tokens=list(expired_session_tokens),
        )
        self.environment: dict[str, str] = {}
        """For clients (boto3, splitnet): region, credentials, endpoints. The functions have it too."""
        self.simulates_memory = False
        """Whether memory sizes are simulated by CPU quota here; otherwise all functions run at full speed."""
        self.limits = ""
        """How processor time and memory are bounded here, for a person."""
        self._urls = ""
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> LocalAws:
        """Returns when everything answers. Raises RuntimeError."""
        package = Path(__file__).resolve().parent
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"{package.name}.service"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=package.parent,
            env={**os.environ, "PYTHONPATH": str(package.parents[1])},  # For `common`.
            start_new_session=True,
        )
        try:
            started = self._ask(self.configuration.to_json())
        except BaseException:
            self.__exit__(None, None, None)
            raise
        self.environment = started["environment"]
        self.simulates_memory = started["simulates_memory"]
        self.limits = started["limits"]
        self._urls = started["function_urls"]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        """Returns when every process has ended."""
        if self._process is None:
            return
        process, self._process = self._process, None
        assert process.stdin is not None and process.stdout is not None
        process.stdin.close()
        try:
            process.wait(_STOP_TIMEOUT_S)
        except BaseException:
            process.kill()
            process.wait()
            raise
        finally:
            process.stdout.close()

    def _ask(self, line: str) -> Any:
        if self._process is None:
            raise RuntimeError("LocalAws is not running, expected inside of its `with` block")
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            with self._lock:
                self._process.stdin.write(line + "\n")
                self._process.stdin.flush()
                answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise RuntimeError(f"LocalAws has ended with status {self._process.wait()}")
        found = json.loads(answer)
        if "error" in found:
            raise RuntimeError(f"LocalAws: {found['error']}")
        return found["value"]

    def _command(self, what: str, function: str, **values: Any) -> Any:
        names = [one.name for one in self.configuration.functions]
        if function not in names:
            raise ValueError(f"no function '{function}', expected one of {names}")
        return self._ask(json.dumps({"do": what, "function": function, **values}))

    def function_url(self, function: str) -> str:
        """Its address for plain HTTP, without a slash at the end."""
        return f"{self._urls}/{function}"

    def invocations(self, function: str) -> list[Invocation]:
        """All so far, in the order in which they ended."""
        return [Invocation(**one) for one in self._command("invocations", function)]

    def log(self, function: str) -> list[str]:
        """Lines: what the function wrote, and Lambda's START, END and REPORT."""
        return list(self._command("log", function))

    def new_lines(self) -> list[tuple[str, str]]:
        """(function, line) of every function's log since the last time this was asked."""
        return [(name, line) for name, line in self._ask(json.dumps({"do": "new lines"}))]

    def recycle(self, function: str) -> int:
        """Ends the idle execution environments, so that the next call is cold. Returns how many there were."""
        return int(self._command("recycle", function))

    def fail(
        self,
        function: str,
        *,
        times: int = 1,
        status: int = 0,
        retry_after_s: float | None = None,
        delay_s: float = 0.0,
        drop: bool = False,
        clock_skew_s: float = 0.0,
    ) -> None:
        """The next calls meet a fault, see faults.Fault. Queued behind the faults that were asked for before."""
        fault = {
            "times": times,
            "status": status,
            "retry_after_s": retry_after_s,
            "delay_s": delay_s,
            "drop": drop,
            "clock_skew_s": clock_skew_s,
        }
        self._command("fail", function, fault=fault)
