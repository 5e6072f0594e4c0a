# SPDX-License-Identifier: Apache-2.0
"""The whole example with one command: what it takes, its table, and that it ends as it is told."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest

from common import prices
from common.package_files import ROOT
from common.tests.wrong_usage import expect_wrong_usage
from emotion.demo import main

RUN = ROOT / "examples/emotion/run"


def ended(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([RUN, *arguments], capture_output=True, text=True, timeout=300)


def test_help() -> None:
    told = ended("--help")
    assert told.returncode == 0, told.stderr
    for option in ("--check", "--link", "--rounds", "--worker", "--min-head-layers"):
        assert option in told.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--beauty"], "unrecognized arguments: --beauty"),
        (["--json", "found.json"], "--json: found without --check"),
        (["--link", "up=2Mbit"], "--link: found without --check"),
        (["--rounds", "0"], "found '0', expected a whole number of at least 1"),
        (["--link", "up=fast"], "argument --link: "),
        (["--objective", "beauty"], "found 'beauty', expected one of latency"),
    ],
)
def test_wrong_usage_is_named_before_anything_is_started(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    expect_wrong_usage(main, arguments, words, capsys)


def test_what_can_not_be_started_is_named(tmp_path: Path) -> None:
    told = ended("--models", tmp_path)
    assert told.returncode == 1
    assert told.stderr.splitlines()[-1].startswith("emotion: ") and str(tmp_path) in told.stderr


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_everything(number: int, status: int) -> None:
    with subprocess.Popen([RUN], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline().startswith("the page is at http://127.0.0.1:")
        started = psutil.Process(process.pid).children(recursive=True)
        assert len(started) >= 3, "the page, the functions' service, moto"
        process.send_signal(number)
        assert process.wait(60) == status
        said = process.stderr.read()
        assert "Traceback" not in said, said
    assert psutil.wait_procs(started, timeout=30)[1] == []


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    """What `--check` prints and writes."""
    file = tmp_path_factory.mktemp("check") / "found.json"
    options = ["--link", "up=20Mbit,down=50Mbit,delay=2ms", "--rounds", "1", "--cold-rounds", "1"]
    told = ended("--check", *options, "--json", file)
    assert told.returncode == 0, told.stdout + told.stderr
    assert "-- measuring: 5 blocks in the cloud" in told.stderr
    return told.stdout, json.loads(file.read_text())


def test_the_table_has_theirs_beside_ours(checked: tuple[str, dict[str, Any]]) -> None:
    text, _ = checked
    rows = {line.strip().split("  ")[0]: line.split() for line in text.splitlines()}
    assert rows["photo sent, all in the cloud"][6:8] == ["18", "3.2"]
    assert rows["5 blocks in the cloud"][5] == "3.7"
    assert "planner: device only" in rows
    assert f"as of {prices.AS_OF}" in text and "https://aws.amazon.com/lambda/pricing/" in text


def test_cold_is_cold_and_what_is_sent_is_counted(checked: tuple[str, dict[str, Any]]) -> None:
    _, found = checked
    plain = [row for row in found["rows"] if "zstd" not in row["name"] and "f16" not in row["name"]]
    whole, five, four, three, chosen = plain
    assert whole["sent_bytes"] == found["photo_bytes"]
    assert five["sent_bytes"] > four["sent_bytes"] > whole["sent_bytes"] > three["sent_bytes"]
    for row in (whole, five, four, three):
        assert row["cold_s"] > row["start_s"] > 0
        assert row["cold_dollars"]["compute"] > row["hot_dollars"]["compute"] > 0, "the start is billed"
        assert row["hot_dollars"]["transfer"] > 0
    assert (chosen["sent_bytes"], chosen["cold_s"], chosen["start_s"]) == (0, None, None), "device only"
    assert whole["hot_dollars"]["storage"] > three["hot_dollars"]["storage"] == 0
    assert {row["label"] for row in found["rows"]} == {"happy"}
