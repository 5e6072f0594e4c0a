# SPDX-License-Identifier: Apache-2.0
"""The whole example with one command: what it takes, its table with workers killed and the queue lost, and its end."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest

from common.package_files import ROOT
from common.tests.ctrl_c import hears_ctrl_c
from common.tests.wrong_usage import expect_wrong_usage
from elastic_pool.demo import main
from elastic_pool.tests.fakes import until

RUN = ROOT / "examples/elastic_pool/run"


def ended(*arguments: str | Path, timeout_s: float = 300) -> subprocess.CompletedProcess[str]:
    return subprocess.run([RUN, *arguments], capture_output=True, text=True, timeout=timeout_s)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--beauty"], "unrecognized arguments: --beauty"),
        (["--json", "found.json"], "--json: found without --check"),
        (["--pictures", "20"], "--pictures: found without --check"),
        (["--pictures", "20,0"], "found '0', expected a whole number of at least 1"),
        (["--max-workers", "many"], "found 'many', expected a whole number of at least 1"),
        (["--model", "resnet"], "invalid choice: 'resnet'"),
    ],
)
def test_wrong_usage_is_named_before_anything_is_started(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    expect_wrong_usage(main, arguments, words, capsys)


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        told = ended("--port", port)
    assert told.returncode == 1 and "Traceback" not in told.stderr, told.stderr
    assert f"port {port} of 127.0.0.1 is taken: --port chooses another, 0 a free one" in told.stderr


def test_ctrl_c_during_imports_ends_it_quietly() -> None:
    with subprocess.Popen([RUN], stderr=subprocess.PIPE, text=True, preexec_fn=hears_ctrl_c) as process:
        mapped = Path(f"/proc/{process.pid}/maps")
        until(lambda: "libtorch_cpu" in mapped.read_text(), "it imports torch")
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None and "Traceback" not in process.stderr.read()
    assert process.returncode == 130


def test_ctrl_c_ends_everything() -> None:
    with subprocess.Popen(
        [RUN, "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=hears_ctrl_c
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline().startswith("upload pictures at http://127.0.0.1:")
        assert process.stdout.readline().startswith("listening on http://127.0.0.1:")
        started = psutil.Process(process.pid).children(recursive=True)
        assert len(started) >= 3, "S3, SQS, the web tier"
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        said = process.stderr.read()
        assert "Traceback" not in said, said
    assert psutil.wait_procs(started, timeout=30)[1] == []


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    """What `--check` prints and writes."""
    file = tmp_path_factory.mktemp("check") / "found.json"
    told = ended("--check", "--pictures", "30", "--json", file)
    assert told.returncode == 0, told.stdout + told.stderr
    return told.stdout, json.loads(file.read_text())


def test_every_label_is_right_whatever_dies(checked: tuple[str, dict[str, Any]]) -> None:
    calm, troubled = checked[1]["runs"]
    for run in (calm, troubled):
        assert (run["answered"], run["wrong"]) == (30, [])
        assert 0 < run["upload_s"] < run["first_s"] <= run["total_s"]
    assert (calm["killed"], calm["restarts"], calm["dead_letters"]) == (0, 0, [])
    assert (troubled["killed"], troubled["restarts"]) == (2, 1) and troubled["workers"] > troubled["killed"]
    assert any("ran out of memory" in reason for reason in troubled["dead_letters"])


def test_the_table_has_theirs_beside_ours(checked: tuple[str, dict[str, Any]]) -> None:
    rows = [line for line in checked[0].splitlines() if line.lstrip().startswith("30")]
    assert len(rows) == 2 and rows[0].split()[:2] == ["30", "216"]
    assert all("30 of 30" in row for row in rows)
    assert "in the dead-letter queue: " in checked[0]


@pytest.mark.long
def test_all_that_it_measures(tmp_path: Path) -> None:
    file = tmp_path / "found.json"
    told = ended("--check", "--json", file, timeout_s=1200)
    assert told.returncode == 0, told.stdout + told.stderr
    runs = json.loads(file.read_text())["runs"]
    assert [(run["answered"], run["wrong"]) for run in runs] == [(count, []) for count in (20, 30, 40, 60, 300, 300)]
    troubled = runs[-1]
    assert (troubled["killed"], troubled["restarts"]) == (10, 1)
    assert any("ran out of memory" in reason for reason in troubled["dead_letters"])
