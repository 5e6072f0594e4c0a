# SPDX-License-Identifier: Apache-2.0
"""The program that makes traces, with simulated workers; its figures and pictures."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from elastic_pool import traces
from elastic_pool.history import Sample
from elastic_pool.simulation import Outcome
from elastic_pool.summaries import Figures, Run, runs_table


def test_it_writes_what_it_has_simulated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        traces.main(
            ["--simulated", "--duration", "300", "--rate", "1", "--loads", "step,burst", "--out", str(tmp_path)]
        )
        == 0
    )
    printed = capsys.readouterr().out
    document = json.loads((tmp_path / "simulated_traces.json").read_text())
    assert document["simulated"] is True
    runs = document["runs"]
    assert [run["shape"] for run in runs] == ["step"] * 3 + ["burst"] * 3
    for run in runs:
        assert len(run["outcome"]["requests"]) == run["asked"] > 10
        assert re.search(rf"{run['shape']} +{re.escape(run['policy'])} +{run['asked']} of {run['asked']} ", printed)
    for ending in ("svg", "html"):
        picture = (tmp_path / f"simulated_traces.{ending}").read_text()
        for words in ("latency target", "messages in the queue", "workers", "latency, s", "burst"):
            assert words in picture
    assert "://" not in re.sub(r'xmlns(:\w+)?="[^"]*"', "", (tmp_path / "simulated_traces.svg").read_text())


def test_an_unknown_load_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        traces.main(["--loads", "step,cliff"])
    assert "found cliff, expected of step, ramp, burst" in capsys.readouterr().err


def test_an_unknown_model_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert traces.main(["--model", "no-such-net"]) == 1
    assert "no model is called 'no-such-net'" in capsys.readouterr().err


def test_figures_of_a_run() -> None:
    samples = [
        Sample(0.0, decided=3, starting=3),
        Sample(1.0, decided=0, running=3),
        Sample(2.0, decided=-1, running=3),
        Sample(3.0, decided=-1, running=2),
        Sample(4.0, decided=2, running=1, starting=2, started=5, worker_s=12.0, dollars=0.5),
    ]
    requests = [(0.0, 0.5), (0.5, 1.0), (1.0, 4.0)]
    run = Run("step", "ours", 4, Outcome(samples, requests))
    found = Figures.of(run, target_s=1.0)
    assert (found.answered, found.median_s, found.longest_s, found.in_time) == (3, 1.0, 4.0, 0.5)
    assert (found.most_workers, found.started, found.turns) == (3, 5, 2)
    assert (found.worker_s, found.dollars) == (12.0, 0.5)
    assert "3 of 4" in runs_table("title", [run], 1.0)


def test_a_run_without_an_answer() -> None:
    found = Figures.of(Run("step", "ours", 2, Outcome([Sample(0.0)], [])), target_s=1.0)
    assert (found.answered, found.in_time) == (0, 0.0)
