# SPDX-License-Identifier: Apache-2.0
"""Starts the page on loopback, and ends it. What else Streamlit is told stands in .streamlit/config.toml beside it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from common.child_process import end_child, start_child, wait_for_answer
from common.package_files import ROOT
from common.server_process import ServerProcess
from local_aws.processes import free_ports

_START_TIMEOUT_S = 60.0
_END_TIMEOUT_S = 10.0


@contextmanager
def running_page(
    arguments: Sequence[str] = (), environment: Mapping[str, str] | None = None
) -> Iterator[ServerProcess]:
    """A Streamlit process with the page, until the block ends, or the thread that called this does, however.

    Raises RuntimeError (it ended), TimeoutError.
    """
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    app = str(ROOT / "examples/emotion/app.py")
    process = start_child(
        [
            *(sys.executable, "-W", "ignore", "-m", "streamlit"),
            *("run", app, f"--server.port={port}", "--", *arguments),
        ],
        {**(environment or {}), "PYTHONPATH": str(ROOT / "examples")},
    )
    try:
        wait_for_answer(process, f"{url}/_stcore/health", _START_TIMEOUT_S)
        yield ServerProcess(url, process)
    finally:
        end_child(process, _END_TIMEOUT_S)
