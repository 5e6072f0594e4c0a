# SPDX-License-Identifier: Apache-2.0
"""Processes that end with who has started them."""

from __future__ import annotations

import os
import subprocess
import time
import urllib.request
from collections.abc import Mapping, Sequence

_PAUSE_S = 0.02
_ASK_TIMEOUT_S = 5.0


def start_child(
    command: Sequence[str],
    environment: Mapping[str, str] | None = None,
    stdout: int | None = subprocess.DEVNULL,
    stderr: int | None = None,
) -> subprocess.Popen[str]:
    """It gets SIGTERM when the thread that called this ends, however. Ctrl-C is not for it. The environment counts beside
    that of this process. Raises OSError."""
    return subprocess.Popen(
        ["setpriv", "--pdeathsig", "TERM", *command],
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        text=True,
        errors="replace",
        env={**os.environ, **(environment or {})},
        start_new_session=True,
    )


def wait_for_answer(process: subprocess.Popen[str], url: str, timeout_s: float) -> None:
    """Until what it serves there is answered. Raises RuntimeError: it has ended; TimeoutError."""
    until_s = time.monotonic() + timeout_s
    while time.monotonic() < until_s:
        if process.poll() is not None:
            raise RuntimeError(f"the process that was to serve {url} ended with status {process.returncode}")
        try:
            urllib.request.urlopen(url, timeout=_ASK_TIMEOUT_S).close()
            return
        except OSError:
            time.sleep(_PAUSE_S)
    raise TimeoutError(f"{url} was not answered after {timeout_s:g} s")


def end_child(process: subprocess.Popen[str], patience_s: float) -> None:
    """Lets it finish what it has, and no longer than it may take."""
    process.terminate()
    try:
        process.wait(patience_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
