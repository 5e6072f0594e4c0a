# SPDX-License-Identifier: Apache-2.0
"""Starts the page on loopback, and ends it. What else Streamlit is told stands in .streamlit/config.toml beside it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from types import TracebackType

from common.package_files import ROOT


class PageServer:
    """A Streamlit process with the page, which ends with the thread that started it, whatever ends that.

    Raises RuntimeError (it ended), TimeoutError.
    """

    def __init__(self, arguments: Sequence[str] = (), environment: Mapping[str, str] | None = None) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        app = str(ROOT / "examples/emotion/app.py")
        self.process = subprocess.Popen(
            [
                *("setpriv", "--pdeathsig", "TERM", sys.executable, "-W", "ignore"),
                *("-m", "streamlit", "run", app, f"--server.port={port}", "--", *arguments),
            ],
            env={**os.environ, **(environment or {}), "PYTHONPATH": str(ROOT / "examples")},
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for whoever started this; it ends the page.
        )
        try:
            self._wait()
        except BaseException:
            self.close()
            raise

    def _wait(self, timeout_s: float = 60) -> None:
        until_s = time.monotonic() + timeout_s
        while time.monotonic() < until_s:
            if self.process.poll() is not None:
                raise RuntimeError(f"the page's process ended with {self.process.returncode}")
            try:
                with urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=1):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        raise TimeoutError(f"no page at {self.url} after {timeout_s:g} s")

    def close(self) -> None:
        """Ends it. Idempotent."""
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __enter__(self) -> PageServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
