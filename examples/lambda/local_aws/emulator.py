# SPDX-License-Identifier: Apache-2.0
"""One execution environment: AWS's Lambda Runtime Interface Emulator with a function's runtime under it.

The emulator is the real runtime API. Where its answers differ from the service's, its debug log, which it writes before it
answers, tells what happened:

| emulator | service, and `Emulator.invoke` |
| --- | --- |
| a function error is an ordinary answer with status 200 | a function error: the runtime had posted to `/error` |
| time-out: 200, the text "Task timed out after 3.00 seconds" | a function error, an object of type Sandbox.Timedout |
| the runtime has ended: 502 | a function error of type Runtime.ExitError |
| an answer above 6 MB: 200, an error object | a function error of type Function.ResponseSizeTooLarge |
| `Init Duration` of 0.02 ms | from INIT START to INIT REPORT |
| two calls at once end it | one call at a time |

Not made up for: the trace header does not reach the runtime; the initialisation of a cold start counts in the time-out;
the ARN of the function is always in us-east-1.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import platform
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from .configuration import Function
from .emulator_log import Seen, is_of_function, read_log
from .http_exchange import HttpConnection
from .limits import Limits
from .processes import end, free_ports, kill, peak_resident_bytes, resident_bytes

ROOT = Path(__file__).resolve().parents[3]

_PATH = "/2015-03-31/functions/function/invocations"
_START_TIMEOUT_S = 10.0
_STOP_TIMEOUT_S = 5.0
_ANSWER_MARGIN_S = 10.0  # Beyond the function's time-out the emulator itself must be stuck.
_NO_ANSWER = 0  # In place of a status.
_WATCH_S = 0.05


def emulator_binary() -> Path:
    """In .venv, inside aws-sam-cli. Raises FileNotFoundError."""
    suffix = {"x86_64": "x86_64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    pattern = f".venv/lib/python3*/site-packages/samcli/local/rapid/aws-lambda-rie-{suffix}"
    for path in sorted(ROOT.glob(pattern)):
        return path
    raise FileNotFoundError(f"no {pattern} in {ROOT}, expected from aws-sam-cli: scripts/setup installs it")


@dataclass(frozen=True)
class Answer:
    """What a call on an environment gave."""

    payload: bytes
    """The function's JSON, or its error object."""
    error: str | None
    """`errorType: errorMessage` of a function error."""
    request_id: str
    init_s: float | None
    """None: the environment was hot."""
    duration_s: float
    peak_memory_bytes: int
    survives: bool
    """False: the runtime has ended or was stopped; the environment takes no more calls."""


class PortTaken(OSError):
    """Another process was quicker: start again."""


class Emulator:
    """A process of the emulator on two free loopback ports. One call at a time."""

    def __init__(
        self, function: Function, environment: Mapping[str, str], limits: Limits, log: Callable[[str], None]
    ) -> None:
        """Starts it and returns at once. The runtime itself starts with the first call. Raises OSError."""
        self._function = function
        self._limits = limits
        self._log = log
        self._unread = b""
        self._seen: list[bytes] = []
        self._peak_bytes = 0
        self._connection: HttpConnection | None = None
        self._runtime_port, self._port = free_ports(2)
        self._pipe, write_end = os.pipe()
        os.set_blocking(self._pipe, False)
        try:
            self._process = subprocess.Popen(
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=write_end,
                stderr=write_end,
                env=dict(environment),
                cwd=function.working_directory,
                start_new_session=True,
            )
        except OSError:
            os.close(self._pipe)
            limits.close()
            raise
        finally:
            os.close(write_end)
        asyncio.get_running_loop().add_reader(self._pipe, self._read_log)

    def _command(self) -> list[str]:
        # On SIGTERM the emulator ends the runtime too; it comes when this process dies, whatever the cause.
        return [
            *("setpriv", "--pdeathsig", "TERM", str(emulator_binary()), "--log-level", "debug"),
            *("--runtime-api-address", f"127.0.0.1:{self._runtime_port}"),
            *("--runtime-interface-emulator-address", f"127.0.0.1:{self._port}"),
            *self._limits.wrap(self._function.command),
        ]

    def log_to(self, log: Callable[[str], None]) -> None:
        """From now on the runtime's lines go there."""
        self._log = log

    async def invoke(self, event: bytes, headers: Mapping[str, str]) -> Answer:
        """`headers`: X-Amz-Client-Context and the like."""
        assert self._connection is not None, "ready() comes first"
        self._seen.clear()
        begun_s = time.perf_counter()
        watch = None if self._limits.enforces_memory else asyncio.ensure_future(self._watch_memory())
        try:
            async with asyncio.timeout(self._function.timeout_s + _ANSWER_MARGIN_S):
                status, payload = await self._connection.post(_PATH, headers, event)
        except TimeoutError:
            status, payload = _NO_ANSWER, b""
        except ConnectionError:
            status, payload = 502, b""
        finally:
            if watch:
                watch.cancel()
        return self._answer(status, payload, time.perf_counter() - begun_s)

    async def ready(self) -> None:
        """Returns when the emulator takes calls. Raises PortTaken, OSError."""
        until_s = time.monotonic() + _START_TIMEOUT_S
        while self._connection is None:
            try:
                self._connection = await HttpConnection.open(self._port)
            except ConnectionRefusedError:
                if self._process.poll() is not None or time.monotonic() > until_s:
                    self._read_log()
                    said = b"".join(self._seen)[-1000:].decode(errors="replace").strip()
                    kind = PortTaken if "address already in use" in said else OSError
                    raise kind(f"the emulator of '{self._function.name}' did not start: {said}") from None
                await asyncio.sleep(0.002)

    def _answer(self, status: int, payload: bytes, total_s: float) -> Answer:
        self._read_log()
        seen = read_log(b"".join(self._seen))
        init_s = seen.init_s or 0.0
        duration_s = total_s - init_s if seen.run_s is None else seen.run_s
        is_error = seen.posted_error or payload.startswith(b'{"errorType":"Function.ResponseSizeTooLarge"')
        if seen.timed_out or status == _NO_ANSWER:
            duration_s = max(0.0, self._function.timeout_s - init_s)
            payload = _error_object(
                "Sandbox.Timedout", seen, f"Task timed out after {self._function.timeout_s}.00 seconds"
            )
        elif status != 200 and not payload:
            reason = f"with error: {seen.exit}" if seen.exit else "without providing a reason"
            payload = _error_object("Runtime.ExitError", seen, f"Runtime exited {reason}")
        survives = status == 200 and not seen.timed_out
        return Answer(
            payload=payload,
            error=error_text(payload) if is_error or not survives else None,
            request_id=seen.request_id,
            init_s=seen.init_s,
            duration_s=duration_s,
            peak_memory_bytes=self._peak_memory_bytes(),
            survives=survives,
        )

    def _read_log(self) -> None:
        """What the emulator and the runtime have written; the runtime's goes on, the emulator's is kept for `_answer`."""
        with contextlib.suppress(BlockingIOError):
            while chunk := os.read(self._pipe, 65536):
                self._seen.append(chunk)
                *lines, self._unread = (self._unread + chunk).split(b"\n")
                for line in lines:
                    if is_of_function(line):
                        self._log(line.decode(errors="replace"))
            asyncio.get_running_loop().remove_reader(self._pipe)  # Its writers have ended.

    def _pids(self) -> list[int]:
        pids = self._limits.pids()
        if pids is not None:
            return pids
        with contextlib.suppress(psutil.NoSuchProcess):
            return [child.pid for child in psutil.Process(self._process.pid).children(recursive=True)]
        return []

    def _peak_memory_bytes(self) -> int:
        """A runtime that has ended can no longer be asked; then what its group had."""
        resident = sum(peak_resident_bytes(pid) for pid in self._pids())
        self._peak_bytes = max(self._peak_bytes, resident or self._limits.peak_bytes())
        return self._peak_bytes

    async def _watch_memory(self) -> None:
        while True:
            await asyncio.sleep(_WATCH_S)
            pids = self._pids()
            if sum(resident_bytes(pid) for pid in pids) > self._limits.memory_bytes:
                kill(pids)

    async def stop(self) -> None:
        """Ends the emulator, the runtime and what that has started."""
        if self._connection:
            self._connection.close()
        pids = self._pids()
        await end(self._process, patience_s=2.0)
        kill(pids)
        until_s = time.monotonic() + _STOP_TIMEOUT_S
        while not self._limits.close() and time.monotonic() < until_s:
            kill(self._pids())
            await asyncio.sleep(0.004)
        self._read_log()
        asyncio.get_running_loop().remove_reader(self._pipe)
        os.close(self._pipe)


def _error_object(kind: str, seen: Seen, message: str) -> bytes:
    text = f"RequestId: {seen.request_id} Error: {message}"
    return json.dumps({"errorType": kind, "errorMessage": text}).encode()


def error_text(payload: bytes) -> str:
    """`errorType: errorMessage` of an error object."""
    with contextlib.suppress(ValueError):
        found = json.loads(payload)
        if isinstance(found, dict):
            return f"{found.get('errorType', 'Unhandled')}: {found.get('errorMessage', '')}"
    return f"Unhandled: {payload[:200].decode(errors='replace')}"
