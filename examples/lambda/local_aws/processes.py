# SPDX-License-Identifier: Apache-2.0
"""Processes and ports of this machine."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path


def free_ports(count: int) -> list[int]:
    """Different ones that were free on loopback a moment ago."""
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(socket.socket()) for _ in range(count)]
        for listener in listeners:
            listener.bind(("127.0.0.1", 0))
        return [listener.getsockname()[1] for listener in listeners]


def peak_resident_bytes(pid: int) -> int:
    """Of a process so far; 0: it has ended."""
    return _status_bytes(pid, "VmHWM:")


def resident_bytes(pid: int) -> int:
    return _status_bytes(pid, "VmRSS:")


def _status_bytes(pid: int, field: str) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1]) * 1024
    return 0


def kill(pids: Iterable[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


async def end(process: subprocess.Popen[bytes], patience_s: float) -> None:
    """Asks it to end, and ends it after `patience_s`."""
    process.terminate()
    until_s = time.monotonic() + patience_s
    while process.poll() is None:
        if time.monotonic() > until_s:
            process.kill()
        await asyncio.sleep(0.004)
