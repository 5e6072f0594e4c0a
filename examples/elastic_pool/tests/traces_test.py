# SPDX-License-Identifier: Apache-2.0
"""The program that makes traces, with simulated workers and a short run of real ones; its figures and pictures."""

from __future__ import annotations

import contextlib
import json
import os
import re
from pathlib import Path

import pytest
import torch

import splitnet
from elastic_pool import real_run, traces
from elastic_pool.classifiers import classifier
from elastic_pool.history import Sample
from elastic_pool.load_shapes import steady
from elastic_pool.policies import Observation, Past
from elastic_pool.real_run import RunError
from elastic_pool.simulation import Outcome
from elastic_pool.summaries import Figures, Run, headline, runs_table
from elastic_pool.tests.places import MODEL
from local_aws import LocalAws


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
    heads = [f"{load}_{policy}_p95_s" for load in ("step", "burst") for policy in ("s2", "s4", "latency")]
    last = re.fullmatch(r"simulated_traces: (.+)", printed.splitlines()[-1])
    assert last and [word.split("=")[0] for word in last[1].split()] == heads
    svg = (tmp_path / "simulated_traces.svg").read_text()
    assert "://" not in re.sub(r'xmlns(:\w+)?="[^"]*"', "", svg)
    assert svg.count(">S4: ceil(waiting / QoS)<") == 1, "the legend has it whole"
    assert {"6,6", "2,2"} <= set(re.findall(r'stroke-dasharray="([\d,]+)"', svg)), "a dash for each policy"


def test_a_real_run(exported: None, aws: LocalAws, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first of the policies, one worker: all requests are answered, and it comes and goes."""
    for name, value in aws.environment.items():
        monkeypatch.setenv(name, value)
    setting = traces.Setting(2.0, 1, 1, stop_after_s=0.0, zero_after_s=0.0, their_interval_s=0.25, watched_s=0.0)
    load = steady(1.0, 6.0)
    with contextlib.closing(traces.real_runs([load], MODEL, setting, aws.environment)) as runs:
        run = next(runs)
    arrivals_s = load.arrivals_s(traces.SEED)
    assert (run.shape, run.asked, run.policy) == ("steady", len(arrivals_s), "S2: waiting - running")
    assert len(run.outcome.requests) == run.asked > 2
    for planned_s, (sent_s, latency_s) in zip(arrivals_s, sorted(run.outcome.requests), strict=True):
        assert sent_s >= planned_s and latency_s > 0
    samples = run.outcome.samples
    assert max(sample.waiting + sample.in_flight for sample in samples) > 0
    assert max(sample.running + sample.starting for sample in samples) == 1
    last = samples[-1]
    assert (last.running, last.starting, last.died) == (0, 0, 0) and last.started >= 1 and last.worker_s > 0


def test_a_request_without_an_answer_ends_a_real_run(worker: splitnet.Worker) -> None:
    """It has one channel instead of three."""
    photos = [torch.zeros(1, 3, 224, 224), torch.zeros(1, 1, 224, 224)]
    part = splitnet.Partitioner(classifier(MODEL).model_file())
    with splitnet.Session(part, worker=worker.address, cut=splitnet.Cut.at_input(), finish_on_device=False) as session:
        with pytest.raises(RunError, match="1 of 2 requests have no answer; the first: "):
            real_run.send(session, photos, [0.0, 0.0])


@pytest.mark.parametrize("simulated", [True, False])
def test_one_bound_for_all_policies(simulated: bool) -> None:
    setting = traces.simulated_setting if simulated else traces.real_setting
    full = Observation(now_s=0.0, waiting=1000)
    assert [one.policy.decide(full, Past())[0].start for one in setting(3).contenders()] == [3, 3, 3]
    assert [one.policy.decide(full, Past())[0].start for one in setting(None).contenders()[:2]] == [15, 15]


def test_a_bound_below_1_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        traces.main(["--most", "0"])
    assert "--most: found 0, expected at least 1" in capsys.readouterr().err


def test_an_unknown_load_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        traces.main(["--loads", "step,cliff"])
    assert "found cliff, expected of step, ramp, burst" in capsys.readouterr().err


def test_an_unknown_model_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    before = dict(os.environ)
    assert traces.main(["--model", "no-such-net"]) == 1
    assert "no model is called 'no-such-net'" in capsys.readouterr().err
    assert dict(os.environ) == before


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
    assert headline([run], 1.0) == "step_ours_p95_s=4.00"


def test_a_run_without_an_answer() -> None:
    found = Figures.of(Run("step", "ours", 2, Outcome([Sample(0.0)], [])), target_s=1.0)
    assert (found.answered, found.in_time) == (0, 0.0)
