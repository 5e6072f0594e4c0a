# SPDX-License-Identifier: Apache-2.0
"""A worker that can't start says why."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from elastic_pool.tests.controller_test import is_there
from elastic_pool.tests.fakes import until
from elastic_pool.worker_process import WorkerCommand, WorkerProcess, end_all


def test_who_waits_for_a_worker_that_ends_is_told_why(tmp_path: Path) -> None:
    worker = WorkerProcess(WorkerCommand([tmp_path / "missing.pt"], "tcp://127.0.0.1:0"), 7)
    with pytest.raises(RuntimeError, match=r"^worker 7 did not start: ended with status \d+; it said last: .*missing"):
        worker.wait_ready(60.0)


def script(folder: Path, lines: str) -> Path:
    """A program."""
    path = folder / "worker"
    path.write_text(f"#!/bin/sh\n{lines}\n")
    path.chmod(0o755)
    return path


def test_who_waits_for_a_worker_that_hangs_is_told_so(tmp_path: Path) -> None:
    silent = script(tmp_path, "exec sleep 60")
    worker = WorkerProcess(WorkerCommand([], "tcp://127.0.0.1:0", program=silent), 1)
    try:
        with pytest.raises(TimeoutError, match=r"worker 1 is not ready after 0.1 s"):
            worker.wait_ready(0.1)
    finally:
        end_all([worker], 10.0)
    assert worker.reason() == "", "it was ended while it started"


def test_nobody_waits_for_whom_a_dead_worker_has_started(tmp_path: Path) -> None:
    """Who holds its pipes."""
    left = script(tmp_path, f"sleep 60 & echo $! >{tmp_path}/pid; echo no >&2; exit 3")
    worker = WorkerProcess(WorkerCommand([], "tcp://127.0.0.1:0", program=left), 1)
    until(worker.poll, "it has ended")
    pid = int((tmp_path / "pid").read_text())
    assert is_there(pid), "it was waited for"
    os.kill(pid, signal.SIGKILL)
    assert worker.reason() == "ended with status 3; it said last: no"
