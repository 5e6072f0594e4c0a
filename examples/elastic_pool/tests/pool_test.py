# SPDX-License-Identifier: Apache-2.0
"""Patience with real workers, which is shorter here than a controller's."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

import splitnet
from elastic_pool.pool import Pool, PoolOptions
from elastic_pool.tests.controller_test import model  # noqa: F401 (a fixture)
from elastic_pool.tests.fakes import until
from elastic_pool.worker_process import PROGRAM, WorkerCommand


@contextmanager
def started(model: Path, count: int, options: PoolOptions, arguments: Sequence[str] = ()) -> Iterator[Pool]:  # noqa: F811
    pool = Pool(WorkerCommand([model], "tcp://127.0.0.1:0", ("--threads", "1", *arguments)), options)
    try:
        pool.start(count)
        yield pool
    finally:
        pool.close()


def test_a_worker_that_says_nothing_any_more_is_killed(model: Path) -> None:  # noqa: F811
    with started(model, 2, PoolOptions(silent_timeout_s=2.0)) as pool:
        until(lambda: not pool.watch() and len(pool.ready()) == 2, "both take requests")
        stopped = pool.ready()[0].pid
        os.kill(stopped, signal.SIGSTOP)
        until(pool.watch, "it is missed")
        assert stopped not in [worker.pid for worker in pool.ready()]
    assert "had not answered for 2 s" in pool.deaths()[0]


def test_workers_that_die_at_once_are_not_started_without_end(model: Path) -> None:  # noqa: F811
    """A wrong option: why is in the reason, and the pauses double."""
    patient = PoolOptions(first_pause_s=0.2, longest_pause_s=5.0)
    begin_s = time.monotonic()
    with started(model, 0, patient, ["--cut", "no.such.layer"]) as pool:

        def tries() -> bool:
            """As a controller that always wants two."""
            pool.watch()
            pool.start(2 - len(pool.starting()))
            return pool.totals().died >= 4

        until(tries, "they die")
        assert "none is started for" in pool.trouble() and "no.such.layer" in pool.trouble()
        begun, passed_s = pool.totals().started, time.monotonic() - begin_s
    pauses, pause_s, total_s = 1, 0.2, 0.2
    while total_s < passed_s:
        pauses, pause_s = pauses + 1, min(5.0, 2 * pause_s)
        total_s += pause_s
    assert begun <= 2 * pauses, "two at a time, then a pause"


def test_pauses_double_beside_a_worker_that_does_well(model: Path, tmp_path: Path) -> None:  # noqa: F811
    """Until one that was started later does too."""
    broken = tmp_path / "broken"
    program = tmp_path / "worker"
    program.write_text(f'#!/bin/sh\ntest -e {broken} && exit 1\nexec {PROGRAM} "$@"\n')
    program.chmod(0o755)
    command = WorkerCommand([model], "tcp://127.0.0.1:0", ("--threads", "1"), program=program)
    pool = Pool(command, PoolOptions(first_pause_s=0.5, longest_pause_s=60.0))

    def one_more_works() -> None:
        count = len(pool.ready()) + 1

        def is_ready() -> bool:
            pool.start(count - len(pool.ready()) - len(pool.starting()))
            return not pool.watch() and len(pool.ready()) == count

        until(is_ready, "it takes requests")
        before, worker = pool.work().ended, pool.ready()[-1]
        with splitnet.Session(
            splitnet.Partitioner(model), worker=worker.endpoint, cut=splitnet.Cut.at_input()
        ) as session:
            session(torch.ones(1, 4))
        until(lambda: not pool.watch() and pool.work().ended > before, "it counts")

    def pause_after(deaths: int) -> int:
        """In whole seconds, when so many more have died at once."""
        until_died = pool.totals().died + deaths

        def have_died() -> bool:
            pool.start(1 - len(pool.starting()))
            pool.watch()
            return pool.totals().died == until_died

        until(have_died, "they die")
        found = re.match(r"none is started for (\d+) s", pool.trouble())
        return int(found[1]) if found else 0

    try:
        one_more_works()
        broken.touch()
        assert pause_after(4) > 1, "4 s"
        broken.unlink()
        one_more_works()
        broken.touch()
        assert pause_after(1) <= 1, "0.5 s"
    finally:
        pool.close()
