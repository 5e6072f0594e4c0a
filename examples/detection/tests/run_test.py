# SPDX-License-Identifier: Apache-2.0
"""The whole example with one command, and its table."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest

from common import prices
from common.package_files import ROOT

EXAMPLE = ROOT / "examples/detection"


@pytest.fixture(scope="module")
def ended() -> Iterator[subprocess.CompletedProcess[str]]:
    """`run --check`, once."""
    report = ROOT / "build/detection/report.json"
    report.unlink(missing_ok=True)
    yield subprocess.run(
        [EXAMPLE / "run", "--check", "--repetitions", "1"],
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture
def report(ended: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert ended.returncode == 0, ended.stdout + ended.stderr
    found: dict[str, Any] = json.loads((ROOT / "build/detection/report.json").read_text())
    return found


def test_everything_runs(ended: subprocess.CompletedProcess[str]) -> None:
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.count("6 answered, 0 skipped, 0 failed") == 2
    assert len(list((ROOT / "build/detection/drawn").glob("*.jpg"))) == 6


def test_the_table_has_theirs_beside_ours(ended: subprocess.CompletedProcess[str]) -> None:
    table = ended.stdout.partition("== local, remote and split")[2].partition("\n==")[0]
    rows = {line.split("  ")[1].strip(): line for line in table.splitlines() if line.startswith("  ")}
    assert "48.2 / 14.9 / 36.0 / 152.0" in rows["transfer"]
    assert "32.4 / 7.6 / 21.0 / 58.0" in rows["inference"]
    assert "1780 / 379 / 1214 / 3008" in rows["function's execution"]
    assert "453.0 / 1.5 / 449.0 / 454.0" in rows["memory of the function, MB"]
    assert "dollars for 1,000 pictures" in rows
    assert "Planner: " in ended.stdout and "as of 2025-08-01: https://aws.amazon.com/lambda/pricing/" in ended.stdout


def test_the_measured_columns(report: dict[str, Any]) -> None:
    local, remote, split, *_ = report["columns"]
    assert (report["failures"], report["pictures"], report["repetitions"]) == ([], 6, 1)
    assert local["dollars_per_1000"] == 0
    assert [column["same_objects"] for column in report["columns"]] == [6] * len(report["columns"])
    for column in (local, remote, split):
        assert column["end_to_end_s"]["count"] == column["inference_s"]["count"] == 6
        assert column["inference_s"]["mean"] < column["end_to_end_s"]["mean"]
    for column, megabytes in ((remote, 512), (split, 1769)):
        assert column["execution_s"]["count"] == 6  # One invocation for each picture; a cold one is a failure.
        assert column["cold_s"] > column["end_to_end_s"]["mean"]
        assert 50 * 2**20 < column["function_memory_bytes"]["greatest"] <= megabytes * 2**20
    assert report["verdict"].startswith(("don't split", "split"))
    assert report["split_is_chosen"] == report["verdict"].startswith("split")


def test_dollars_are_those_of_the_price_list(report: dict[str, Any]) -> None:
    _, remote, split, *_ = report["columns"]
    seconds = remote["execution_s"]["mean"]
    function = prices.FUNCTION_REQUEST + seconds * 512 / 1024 * prices.FUNCTION_GIGABYTE_SECOND
    least = function + prices.OBJECT_PUT + prices.OBJECT_GET + prices.TABLE_WRITE + 1.5 * prices.TABLE_READ
    assert least * 1000 - 1e-9 <= remote["dollars_per_1000"] < least * 1000 + 100 * prices.TABLE_READ * 1000
    assert split["received_bytes"] >= 4 / 3 * 4 * 255 * 10 * 10  # One of the heads at least, in base64.
    function = prices.FUNCTION_REQUEST + split["execution_s"]["mean"] * 1769 / 1024 * prices.FUNCTION_GIGABYTE_SECOND
    assert split["dollars_per_1000"] == pytest.approx(
        1000 * (function + split["received_bytes"] * prices.EGRESS_BYTE), rel=0.05
    )


def test_ctrl_c_ends_it_and_what_it_has_started() -> None:
    running = subprocess.Popen(
        [EXAMPLE / "run", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stdout is not None
    while not running.stdout.readline().startswith("== 6 photos to the local server"):
        assert running.poll() is None
    started = psutil.Process(running.pid).children(recursive=True)
    assert len(started) >= 3  # The server, the stand-ins and moto.
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=60)
    assert running.returncode == 130 and "Traceback" not in errors, errors
    assert not psutil.wait_procs(started, timeout=30)[1]


def test_help() -> None:
    told = subprocess.run([EXAMPLE / "run", "--help"], capture_output=True, text=True, timeout=10)
    assert told.returncode == 0 and "--check needs no person" in told.stdout
