# SPDX-License-Identifier: Apache-2.0
"""A splitnet-worker as a process of its own, which ends with who has started it."""

from __future__ import annotations

import collections
import signal
import subprocess
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from common.child_process import start_child
from common.package_files import ROOT

PROGRAM = ROOT / "build/release/splitnet-worker"
_KEPT_LINES = 20

MOTO_POLL_S = 1
#: Of workers of a queue of moto's server, which doesn't see that nobody hears a poll any more: that of a worker that has ended
#: may still take a message, which then comes back after the visibility timeout. So both times are short.
MOTO_ARGUMENTS = ("--sqs-wait-time", str(MOTO_POLL_S), "--sqs-visibility-timeout", "5")


@dataclass(frozen=True)
class WorkerCommand:
    """What to start: splitnet-worker with models, where it listens, and what else it is told."""

    models: Sequence[str | Path]  #: As its command line has them: MODEL.pt, MODEL.prepared or NAME=FILE.
    listen: str  #: sqs://QUEUE; for tests also tcp://127.0.0.1:0.
    arguments: Sequence[str] = ()
    environment: Mapping[str, str] | None = None  #: Beside that of this process.
    program: Path = PROGRAM  #: Or a script that ends with exec of it.

    def line(self) -> list[str]:
        """With a status server on a free port."""
        where = ("--listen", self.listen, "--status", "127.0.0.1:0")
        return [str(self.program), *map(str, self.models), *where, *self.arguments]


class WorkerProcess:
    """Started by the constructor, in the thread that it may not outlive. Other methods may be called by any thread."""

    def __init__(self, command: WorkerCommand, number: int) -> None:
        """Raises OSError: there is no such program."""
        self.number = number  #: Of the workers of a pool, from 1.
        self.started_s = time.monotonic()
        self.ready_s: float | None = None  #: When it has begun to take requests.
        self.ended_s: float | None = None
        self.endpoint = ""  #: Where it listens, when it is ready.
        self.status_url = ""
        self.drains = False
        self._said: collections.deque[str] = collections.deque(maxlen=_KEPT_LINES)
        self._process = start_child(command.line(), command.environment, subprocess.PIPE, subprocess.PIPE)
        assert self._process.stdout is not None and self._process.stderr is not None
        self._readers = [
            threading.Thread(target=read, args=(stream,), daemon=True)
            for read, stream in ((self._read_out, self._process.stdout), (self._read_err, self._process.stderr))
        ]
        for reader in self._readers:
            reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def life_s(self) -> float:
        """So far, or until it ended."""
        return (self.ended_s or time.monotonic()) - self.started_s

    def poll(self) -> bool:
        """Whether it has ended."""
        if self.ended_s is None and self._process.poll() is not None:
            self.ended_s = time.monotonic()
            for reader, stream in zip(self._readers, (self._process.stdout, self._process.stderr), strict=True):
                assert stream is not None
                reader.join(1.0)
                if (
                    not reader.is_alive()
                ):  # Else somebody whom it has started holds the pipe, and closing would wait too.
                    stream.close()
        return self.ended_s is not None

    def wait_ready(self, timeout_s: float) -> None:
        """Until it takes requests. Raises RuntimeError: it has ended, and why; TimeoutError."""
        until_s = time.monotonic() + timeout_s
        while self.ready_s is None:
            if self.poll():
                raise RuntimeError(f"worker {self.number} did not start: {self.reason()}")
            if time.monotonic() > until_s:
                raise TimeoutError(f"worker {self.number} is not ready after {timeout_s:g} s")
            time.sleep(0.002)

    def drain(self) -> None:
        """Has it finish what it has, take nothing more, and end."""
        self.drains = True
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()

    def reason(self) -> str:
        """Why it has ended, in words; empty: after `drain`, well or before it listened to signals."""
        status = self._process.returncode
        if self.drains and status in (0, -signal.SIGTERM):
            return ""
        words = f"ended with status {status}" if status >= 0 else f"killed by {_signal_name(-status)}"
        last = next((line for line in reversed(self._said) if line), "")
        return f"{words}; it said last: {last}" if last else words

    def said(self) -> list[str]:
        """Its last lines on standard error."""
        return list(self._said)

    def _read_out(self, stream: IO[str]) -> None:
        for line in stream:
            if line.startswith("status at "):
                self.status_url = line.removeprefix("status at ").strip()
            elif line.startswith("listening on "):
                self.endpoint = line.removeprefix("listening on ").strip()
                self.ready_s = time.monotonic()

    def _read_err(self, stream: IO[str]) -> None:
        for line in stream:
            self._said.append(line.rstrip())


def end_all(workers: Iterable[WorkerProcess], patience_s: float) -> None:
    """Drains them side by side; those that take longer than `patience_s` are killed. Returns when all have ended."""
    left = [worker for worker in workers if not worker.poll()]
    for worker in left:
        worker.drain()
    until_s = time.monotonic() + patience_s
    while left := [worker for worker in left if not worker.poll()]:
        if time.monotonic() > until_s:
            for worker in left:
                worker.kill()
        time.sleep(0.01)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
