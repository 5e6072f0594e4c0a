# SPDX-License-Identifier: Apache-2.0
"""A worker that can't start says why."""

from __future__ import annotations

from pathlib import Path

import pytest

from elastic_pool.worker_process import WorkerCommand, WorkerProcess, end_all


def test_who_waits_for_a_worker_that_ends_is_told_why(tmp_path: Path) -> None:
    worker = WorkerProcess(WorkerCommand([tmp_path / "missing.pt"], "tcp://127.0.0.1:0"), 7)
    with pytest.raises(RuntimeError, match=r"^worker 7 did not start: ended with status \d+; it said last: .*missing"):
        worker.wait_ready(60.0)


def test_who_waits_for_a_worker_that_hangs_is_told_so(tmp_path: Path) -> None:
    silent = tmp_path / "silent"
    silent.write_text("#!/bin/sh\nexec sleep 60\n")
    silent.chmod(0o755)
    worker = WorkerProcess(WorkerCommand([], "tcp://127.0.0.1:0", program=silent), 1)
    try:
        with pytest.raises(TimeoutError, match="worker 1 is not ready after 0.1 s"):
            worker.wait_ready(0.1)
    finally:
        end_all([worker], 10.0)
