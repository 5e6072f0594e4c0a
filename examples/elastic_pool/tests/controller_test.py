# SPDX-License-Identifier: Apache-2.0
"""The controller with real workers, over tcp://, and a queue that the test speaks for."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

import splitnet
from common.package_files import ROOT
from elastic_pool.controller import Controller, ControllerOptions
from elastic_pool.policies import LatencyTarget, Policy, WaitingMinusRunning, WaitingPerWorker
from elastic_pool.tests.fakes import SaidQueue, until
from elastic_pool.worker_process import PROGRAM, WorkerCommand
from local_aws.limits import Limits, support

FAST = ControllerOptions(interval_s=0.1, tick_s=0.02, terminate_valid_s=0.5)
OURS = LatencyTarget(max_workers=2, stop_after_s=0.3, zero_after_s=0.5)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """4 numbers to 4 numbers."""
    path = tmp_path_factory.mktemp("model") / "double.pt"
    torch.jit.trace(torch.nn.Sequential(torch.nn.ReLU(), torch.nn.Identity()), torch.ones(1, 4)).save(str(path))  # type: ignore[no-untyped-call]
    return path


def controller(
    model: Path,
    queue: SaidQueue,
    policy: Policy = OURS,
    options: ControllerOptions = FAST,
    arguments: Sequence[str] = ("--threads", "1"),
) -> Controller:
    command = WorkerCommand([model], "tcp://127.0.0.1:0", arguments)
    return Controller(command, queue, policy, options)


def opened(model: Path, pool: Controller) -> splitnet.Session:
    """To one of the workers, which does everything."""
    part, endpoint = splitnet.Partitioner(model), pool.endpoints()[0]
    return splitnet.Session(part, worker=endpoint, cut=splitnet.Cut.at_input(), finish_on_device=False)


def is_there(pid: int) -> bool:
    """A zombie that nobody has waited for counts as gone."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_workers_come_work_and_go(model: Path) -> None:
    queue = SaidQueue()
    with controller(model, queue) as pool:
        assert queue.prepared == 1
        until(lambda: len(pool.history.samples()) > 2, "looks at an empty queue")
        assert pool.now().started == 0, "nobody is started for nothing"
        queue.set(50)
        pool.wait_ready(2)
        pids = pool.pids()
        with opened(model, pool) as session:
            assert session(torch.full((1, 4), 2.0)).tolist() == [[2.0] * 4]
        until(lambda: pool.now().answered >= 1, "the answer counts")
        queue.set(0)
        until(
            lambda: pool.now().running + pool.now().draining == 0 and not any(map(is_there, pids)),
            "all stop when nothing comes",
        )
        last = pool.now()
    assert (last.started, last.died, last.draining, pool.deaths()) == (2, 0, 0, [])
    assert last.answered == 1, "what opens a session does not"
    assert last.worker_s > 0 and last.dollars > 0
    assert max(sample.running + sample.starting for sample in pool.history.samples()) == 2
    times = [sample.time_s for sample in pool.history.samples()]
    assert times == sorted(times)


def test_nobody_is_left_when_the_block_ends(model: Path) -> None:
    queue = SaidQueue(10)
    with controller(model, queue) as pool:
        pool.wait_ready(2)
        pids = pool.pids()
    assert not any(map(is_there, pids))
    assert pool.now().died == 0


def test_a_worker_that_is_killed_is_noticed_and_replaced(model: Path) -> None:
    queue = SaidQueue(50)
    with controller(model, queue) as pool:
        pool.wait_ready(2)
        victim = pool.pids()[0]
        os.kill(victim, signal.SIGKILL)
        until(lambda: pool.now().died == 1, "it is missed")
        pool.wait_ready(2)
        assert victim not in pool.pids()
    (words,) = pool.deaths()
    assert f"process {victim}" in words and "killed by SIGKILL" in words


def test_why_workers_die_at_once_is_said(model: Path) -> None:
    """A wrong option."""
    with controller(model, SaidQueue(50), arguments=["--cut", "no.such.layer"]) as pool:
        until(lambda: "none is started for" in pool.now().trouble, "they die")
        assert "no.such.layer" in pool.deaths()[-1], pool.deaths()
        with pytest.raises(TimeoutError, match=r"no\.such\.layer"):
            pool.wait_ready(1, 0.1)


def test_a_program_that_is_not_there(model: Path) -> None:
    queue = SaidQueue(50)
    command = WorkerCommand([model], "tcp://127.0.0.1:0", program=Path("/no/such/worker"))
    with Controller(command, queue, OURS, FAST) as pool:
        until(lambda: pool.now().died > 0, "it ends")
    assert "/no/such/worker" in pool.deaths()[0]


class HungryNet(torch.nn.Module):
    """A number to as many as it says."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.ones(int(x.sum()), 262144).cumsum(0)[:1, :1] * x


def test_a_worker_that_needs_more_memory_than_there_is(tmp_path: Path) -> None:
    """Its control group is full: the kernel ends it, which is said; another one is there for the next request."""
    hungry = tmp_path / "hungry.pt"
    torch.jit.script(HungryNet()).save(str(hungry))  # type: ignore[no-untyped-call]
    limits = Limits(support(), 2.0, 512)
    assert limits.enforces_memory, (
        f"{support().describe()}; expected control groups that can be written (CONTRIBUTING.md)"
    )
    program = tmp_path / "limited_worker"
    program.write_text(f'#!/bin/sh\nexec {shlex.join(limits.wrap([str(PROGRAM)]))} "$@"\n')
    program.chmod(0o755)
    command = WorkerCommand([hungry], "tcp://127.0.0.1:0", program=program)
    try:
        with Controller(command, SaidQueue(1), LatencyTarget(max_workers=1), FAST) as pool:
            pool.wait_ready(1)
            with opened(hungry, pool) as session, pytest.raises(splitnet.Unavailable):
                session(torch.tensor([[4000.0]]))  # 4 GB.
            until(lambda: pool.now().died == 1, "it is missed")
            pool.wait_ready(1)
            with opened(hungry, pool) as session:
                assert session(torch.tensor([[2.0]])).tolist() == [[2.0]]
        assert "the kernel was out of memory" in pool.deaths()[0]
    finally:
        limits.close()


def test_as_long_as_the_queue_does_not_answer_all_stays_as_it_is(model: Path) -> None:
    queue = SaidQueue(50)
    with controller(model, queue) as pool:
        pool.wait_ready(2)
        queue.trouble = "queue work: could not connect"
        until(lambda: pool.now().trouble == queue.trouble, "the history says so")
        assert (pool.now().waiting, pool.now().decided) == (50, 0)
        os.kill(pool.pids()[0], signal.SIGKILL)
        until(lambda: pool.now().died == 1, "workers are looked after")
        queue.trouble = ""
        pool.wait_ready(2)
        until(lambda: pool.now().trouble == "", "all is well again")


def test_s4s_formula_with_real_workers(model: Path) -> None:
    """QoS 5: 6 messages are for two; 5 for one; none for nobody."""
    queue = SaidQueue(6)
    with controller(model, queue, WaitingPerWorker(5, 3)) as pool:
        pool.wait_ready(2)
        queue.set(5)
        until(lambda: pool.now().running == 1 and pool.now().draining == 0, "one gets a terminate message")
        queue.set(0)
        until(lambda: pool.now().running == 0, "the other too")
    assert (pool.now().started, pool.now().died) == (2, 0)


def test_s2s_formula_with_real_workers(model: Path) -> None:
    queue = SaidQueue(3)
    with controller(model, queue, WaitingMinusRunning(2)) as pool:
        pool.wait_ready(2)
        queue.set(0)
        until(lambda: pool.now().running == 0, "all stop")
    assert pool.now().started == 2


def test_a_failure_of_the_controller_is_not_kept_from_anybody(model: Path) -> None:
    class Wrong(SaidQueue):
        def counts(self) -> None:  # type: ignore[override]
            raise KeyError("a mistake")

    with pytest.raises(RuntimeError, match="a mistake"), controller(model, Wrong()) as pool:
        pool.wait_ready(1)
    with pytest.raises(RuntimeError, match="a mistake"):
        with controller(model, Wrong()) as pool:
            until(lambda: pool.now().trouble != "", "it is in the history")


def test_workers_do_not_outlive_a_killed_controller(model: Path) -> None:
    program = f"""
from elastic_pool.controller import Controller, ControllerOptions
from elastic_pool.policies import LatencyTarget
from elastic_pool.tests.fakes import SaidQueue
from elastic_pool.worker_process import WorkerCommand
with Controller(WorkerCommand([{str(model)!r}], "tcp://127.0.0.1:0"), SaidQueue(50), LatencyTarget(max_workers=2)) as pool:
    pool.wait_ready(2)
    print(*pool.pids(), flush=True)
    time.sleep(600)
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "examples")}
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stdout is not None
        pids = [int(word) for word in process.stdout.readline().split()]
        assert len(pids) == 2 and all(map(is_there, pids))
    finally:
        process.kill()
        process.communicate()
    until(lambda: not any(map(is_there, pids)), "they end")


@pytest.mark.parametrize(
    "field", ["interval_s", "tick_s", "terminate_valid_s", "expected_service_s", "expected_start_s"]
)
def test_wrong_options_are_named(field: str) -> None:
    with pytest.raises(ValueError, match=field):
        ControllerOptions(**{field: 0.0})
