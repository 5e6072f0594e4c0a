# SPDX-License-Identifier: Apache-2.0
"""The program that measures starts: a round of it for real, and its table."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from common.package_files import ROOT
from elastic_pool import worker_start
from elastic_pool.worker_start import First, Start


def test_a_round_for_real(exported: None, tmp_path: Path) -> None:
    out = tmp_path / "figures/starts.json"
    program = [sys.executable, "-W", "ignore", "-m", "elastic_pool.worker_start", "--rounds", "1", "--out", str(out)]
    path = f"{ROOT}/examples:{ROOT}/examples/lambda"
    ended = subprocess.run(program, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    found = json.loads(out.read_text())
    assert [start["model"] for start in found["starts"]] == ["as exported", "prepared"]
    assert all(0 < start["ready_s"] < start["answer_s"] for start in found["starts"])
    assert [first["warm_workers"] for first in found["first_requests"]] == [0, 1]
    assert all(first["latency_s"] > 0 for first in found["first_requests"])
    assert "prepared" in ended.stdout and "72000" in ended.stdout


def test_medians_with_what_they_lie_between() -> None:
    starts = [
        Start("as exported", 1.0, 2.0),
        Start("prepared", 0.3, 0.4),
        Start("prepared", 0.1, 0.2),
        Start("prepared", 0.2, 0.9),
    ]
    words = worker_start.tables(starts, [First(0, 1.5), First(1, 0.05)])
    assert "200 (100 - 300)" in words and "400 (200 - 900)" in words
    assert "1500 (1500 - 1500)" in words and "50 (50 - 50)" in words
    headline = worker_start.headline(starts, [First(0, 1.5), First(1, 0.05)])
    assert headline == "exported_answer_ms=2000 prepared_answer_ms=400 alone_cold_ms=1500 alone_warm_ms=50"


def test_an_unknown_model_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    before = dict(os.environ)
    assert worker_start.main(["--model", "no-such-net"]) == 1
    assert "no model is called 'no-such-net'" in capsys.readouterr().err
    assert dict(os.environ) == before
