# SPDX-License-Identifier: Apache-2.0
"""A server of an example as a process of its own, which ends with who has started it."""

from __future__ import annotations

import select
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from common.child_process import end_child, start_child
from common.package_files import ROOT

_START_TIMEOUT_S = 300.0  #: Models are loaded before it listens, and machines may be busy.
_END_TIMEOUT_S = 20.0
_LISTENING = "listening on "
_MOST_CHARACTERS = 1000  #: Of its first line.
_PATH = f"{ROOT}/examples:{ROOT}/examples/lambda"


@dataclass(frozen=True)
class ServerProcess:
    """One that listens."""

    url: str
    process: subprocess.Popen[str]

    @property
    def peak_memory_bytes(self) -> int:
        """The most that was resident since it started."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        raise ProcessLookupError(f"process {self.process.pid}: its status has no VmHWM, so it has ended")


@contextmanager
def running_server(
    module: str, *arguments: str, environment: Mapping[str, str] | None = None
) -> Iterator[ServerProcess]:
    """`python -m MODULE ARGUMENTS`, on a port of its own unless they name one, ended at the end; `serving.serve` serves there.

    Ctrl-C is not for it: it ends when the block does. It also ends when the thread that called this does, however.
    Raises RuntimeError: it did not start (it says why on standard error), or did not end well.
    """
    command = [sys.executable, "-W", "ignore", "-m", module, "--port", "0", *arguments]
    with start_child(command, {**(environment or {}), "PYTHONPATH": _PATH}, stdout=subprocess.PIPE) as process:
        try:
            yield ServerProcess(_url(module, process), process)
        finally:
            end_child(process, _END_TIMEOUT_S)
    if process.returncode != 0:
        raise RuntimeError(f"{module} ended with exit status {process.returncode}")


def _url(module: str, process: subprocess.Popen[str]) -> str:
    """Of what it says first."""
    assert process.stdout is not None
    if not select.select([process.stdout], [], [], _START_TIMEOUT_S)[0]:
        raise RuntimeError(f"{module} did not start within {_START_TIMEOUT_S:g} s")
    line = process.stdout.readline(_MOST_CHARACTERS)
    if not line:
        raise RuntimeError(f"{module} did not start, exit status {process.wait(_END_TIMEOUT_S)}")
    if not line.startswith(_LISTENING) or not line.endswith("\n"):
        raise RuntimeError(f"{module}: found {line[:100]!r}, expected {_LISTENING!r} and its address")
    return line.removeprefix(_LISTENING).strip()
