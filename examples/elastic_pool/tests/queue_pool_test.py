# SPDX-License-Identifier: Apache-2.0
"""Pools behind a real queue (moto's): sessions over sqs://, workers that come, go, and are killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import torch

import splitnet
from common.package_files import ROOT
from common.server_process import running_server
from elastic_pool import pool_server
from elastic_pool.controller import Controller, ControllerOptions, queue_pool
from elastic_pool.policies import LatencyTarget, Policy, WaitingPerWorker
from elastic_pool.real_run import WORKER_ARGUMENTS
from elastic_pool.tests.controller_test import is_there, model  # noqa: F401 (a fixture)
from elastic_pool.tests.fakes import until
from elastic_pool.tests.work_queue_test import KEYS
from local_aws import LocalAws
from local_aws.moto_server import MotoServer

OURS = LatencyTarget(max_workers=2, stop_after_s=0.5, zero_after_s=1.0)
OPTIONS = ControllerOptions(interval_s=0.2, tick_s=0.05)


@pytest.fixture
def environment(aws: LocalAws, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, str]:
    """Of the stand-in; this process's too."""
    for name, value in aws.environment.items():
        monkeypatch.setenv(name, value)
    return aws.environment


def started(model: Path, queue: str, environment: Mapping[str, str], policy: Policy = OURS) -> Controller:  # noqa: F811
    return queue_pool([model], queue, policy, environment, WORKER_ARGUMENTS, OPTIONS)


def opened(model: Path, queue: str) -> splitnet.Session:  # noqa: F811
    part = splitnet.Partitioner(model)
    return splitnet.Session(
        part,
        worker=f"sqs://{queue}",
        cut=splitnet.Cut.at_input(),
        finish_on_device=False,
        deadline_s=120.0,
        max_in_flight=1000,
    )


def numbered(number: int) -> torch.Tensor:
    return torch.full((1, 4), float(number))


def test_from_nobody_to_nobody(model: Path, environment: Mapping[str, str]) -> None:  # noqa: F811
    with started(model, "comes-and-goes", environment) as pool:
        assert pool.now().started == 0
        with opened(model, "comes-and-goes") as session:
            answers = [session.submit(numbered(number)) for number in range(60)]
            for number, answer in enumerate(answers):
                assert answer.result().output.tolist() == [[float(number)] * 4]
        until(lambda: pool.now().running + pool.now().draining + pool.now().starting == 0, "all stop")
        last = pool.now()
    assert (last.waiting, last.in_flight, last.died) == (0, 0, 0)
    assert last.answered >= 60 and last.latency_s is not None and 1 <= last.started <= 6


def test_workers_killed_at_random_lose_nothing(model: Path, environment: Mapping[str, str]) -> None:  # noqa: F811
    dice = random.Random(1)
    with started(model, "killed", environment) as pool, opened(model, "killed") as session:
        answers: list[splitnet.session.Future] = []
        for death in range(1, 5):
            answers += [session.submit(numbered(len(answers) + more)) for more in range(50)]
            pool.wait_ready(1)
            os.kill(dice.choice(pool.pids()), signal.SIGKILL)
            until(lambda death=death: pool.now().died == death, "it is missed")  # type: ignore[misc]
        assert [answer.result().output[0, 0].item() for answer in answers] == [float(number) for number in range(200)]
    assert pool.now().died == 4
    assert all("killed by SIGKILL" in words for words in pool.deaths())


def test_s4s_policy_ends_workers_by_messages(model: Path, environment: Mapping[str, str]) -> None:  # noqa: F811
    with started(model, "s4", environment, WaitingPerWorker(5, 2)) as pool, opened(model, "s4") as session:
        for answer in [session.submit(numbered(number)) for number in range(30)]:
            answer.result()
        pids = pool.pids()
        until(lambda: pool.now().running + pool.now().draining + pool.now().starting == 0, "nothing waits: all stop")
        assert not any(map(is_there, pids))
    assert pool.now().died == 0


@pytest.fixture
def restartable(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[MotoServer]]:
    """A server of queues in a list, to put another one there; this process's AWS."""
    servers = [MotoServer()]
    servers[0].wait()
    for name, value in {**KEYS, "AWS_ENDPOINT_URL": servers[0].url}.items():
        monkeypatch.setenv(name, value)
    yield servers
    servers[0].stop()


def test_a_queue_server_that_comes_back_empty(model: Path, restartable: list[MotoServer]) -> None:  # noqa: F811
    with started(model, "restarted", {}) as pool:
        with opened(model, "restarted") as session:
            assert session(numbered(1)).tolist() == [[1.0] * 4]
        restartable[0].stop()
        until(lambda: "restarted" in pool.now().trouble, "it is missed")
        restartable[0] = MotoServer(restartable[0].port)
        restartable[0].wait()
        until(lambda: pool.now().trouble == "", "its queues are made again")
        with opened(model, "restarted") as session:
            assert session(numbered(2)).tolist() == [[2.0] * 4]


def test_the_program(model: Path, aws: LocalAws, environment: Mapping[str, str]) -> None:  # noqa: F811
    options = ("--queue", "program", "--max-workers", "1", "--zero-after-s", "1", "--stop-after-s", "0")
    with running_server("elastic_pool.pool_server", str(model), *options, environment=aws.environment) as server:
        with urllib.request.urlopen(server.url) as page:
            assert b"Workers of a queue" in page.read()
        with opened(model, "program") as session:
            assert session(numbered(3)).tolist() == [[3.0] * 4]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--target-s", "0"), "target_s: found 0.0"),
        (("--max-workers", "0"), "max_workers: found 0"),
        (("--interval-s", "-1"), "interval_s: found -1.0"),
    ],
)
def test_the_program_names_what_is_wrong(
    options: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pool_server.main(["model.pt", "--queue", "work", *options]) == 1
    assert words in capsys.readouterr().err


def test_a_server_ends_with_its_pool(model: Path, environment: Mapping[str, str]) -> None:  # noqa: F811
    program = f"""
import sys
from elastic_pool import pool_server
pool_server.POLICIES["latency-target"] = lambda chosen: "no policy"
sys.exit(pool_server.main([{str(model)!r}, "--queue", "failing", "--port", "0"]))
"""
    found = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT / "examples")},
        timeout=60,
        capture_output=True,
        text=True,
    )
    assert found.returncode == 1, found.stderr
    assert "listening on http://127.0.0.1:" in found.stdout
    assert "elastic_pool.pool_server: the controller failed: AttributeError" in found.stderr
