# SPDX-License-Identifier: Apache-2.0
"""Nothing is left running, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from local_aws import Function, LocalAws

from .conftest import RUNTIME, TESTS, Clients
from .invoke_test import wait_for

_CONFIGURATION = f"""
buckets = ["photos"]

[[functions]]
name = "one"
command = {RUNTIME}
concurrency = 1

[[triggers]]
bucket = "photos"
function = "one"
"""


def descendants(pid: int) -> set[int]:
    return {child.pid for child in psutil.Process(pid).children(recursive=True)}


def are_gone(pids: set[int]) -> bool:
    return not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in pids)


def groups(service: int) -> set[Path]:
    return set(Path("/sys/fs/cgroup").rglob(f"local-aws-{service}-*"))


class Running:
    """The command line, with one hot function."""

    def __init__(self, folder: Path) -> None:
        path = folder / "one.toml"
        path.write_text(_CONFIGURATION)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "local_aws", str(path)], stdout=subprocess.PIPE, text=True, cwd=TESTS.parent
        )
        assert self.process.stdout is not None
        environment: dict[str, str] = {}
        while "AWS_ENDPOINT_URL_DYNAMODB" not in environment:
            line = self.process.stdout.readline()
            assert line, "it has ended"
            if line.startswith("export "):
                name, value = line.removeprefix("export ").strip().split("=", 1)
                environment[name] = value
        self.aws = LocalAws()
        self.aws.environment = environment
        assert Clients(self.aws).invoke("one", [1])["value"] == [1]
        self.pids = descendants(self.process.pid)
        self.runtime = next(pid for pid in self.pids if str(TESTS / "runtime.py") in psutil.Process(pid).cmdline()[2:3])
        self.service = psutil.Process(self.process.pid).children()[0].pid


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    started = Running(tmp_path)
    yield started
    started.process.kill()
    started.process.wait()


def test_ctrl_c_ends_everything(running: Running) -> None:
    assert groups(running.service)
    assert len(running.pids) >= 4  # Service, moto, emulator, runtime.
    running.process.send_signal(signal.SIGINT)
    assert running.process.wait(10) == 0
    assert are_gone(running.pids)
    assert not groups(running.service)
    assert running.process.stdout is not None
    assert "REPORT RequestId" in running.process.stdout.read()


@pytest.mark.parametrize("victim", ["parent", "service"])
def test_killed(running: Running, victim: str) -> None:
    psutil.Process(running.process.pid if victim == "parent" else running.service).kill()
    wait_for(lambda: are_gone(running.pids))
    assert running.process.wait(10) != 0


def test_exception_in_the_block() -> None:
    before = descendants(os.getpid())
    pids: set[int] = set()
    with pytest.raises(KeyboardInterrupt):
        with LocalAws([Function("one", RUNTIME)]) as aws:
            Clients(aws).invoke("one", {})
            pids = descendants(os.getpid()) - before
            raise KeyboardInterrupt
    assert len(pids) >= 4 and are_gone(pids)
    with pytest.raises(RuntimeError, match="not running"):
        aws.invocations("one")


def test_start_that_fails() -> None:
    before = descendants(os.getpid())
    message = "command of function 'one' is /nowhere/bootstrap, expected an executable file"
    with pytest.raises(RuntimeError, match=message):
        with LocalAws([Function("one", ["/nowhere/bootstrap"])]):
            pass
    assert descendants(os.getpid()) <= before
