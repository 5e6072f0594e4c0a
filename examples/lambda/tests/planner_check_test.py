# SPDX-License-Identifier: Apache-2.0
"""What the check of the planner tells, on figures that are given; the measured run is `scripts/bench lambda_planner`."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import planner_check
import splitnet
from local_aws import Invocation
from picks.cloud import Call, dollars_of
from picks.knowledge import billed_beside, starts_of
from picks.scenarios import Placement, Scenario
from picks.verdicts import Outcome, Samples, Verdict

HERE = Placement("", 0, 2)
THERE = Placement("fibre", 442, 0, "int8")


class TwoLayers(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x).exp()


def checked(outcome: Outcome) -> planner_check.Checked:
    scenario = Scenario(planner_check.LINKS[2], 0, (442,))
    verdict = Verdict(outcome, THERE, 0.1, 0.01)
    return planner_check.Checked(
        part=splitnet.Partitioner(torch.jit.script(TwoLayers()), torch.rand(4)),
        links=planner_check.LINKS,
        load_factors={"device": 1.0},
        measured={0: {HERE: Samples([1.1], [0.0]), THERE: Samples([1.0], [2e-6])}},
        predicted={0: {HERE: splitnet.Cost(latency_s=1.21), THERE: splitnet.Cost(latency_s=0.9, dollars=1e-6)}},
        judged=[planner_check.Judged(scenario, HERE, splitnet.Cost(latency_s=1.21), verdict)],
    )


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (Outcome.right, 0),
        (Outcome.undecided, 0),
        (Outcome.within_spread, 0),
        (Outcome.wrong, 1),
        (Outcome.over_limit, 1),
    ],
)
def test_a_wrong_pick_is_told_and_fails(
    outcome: Outcome,
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(planner_check, "check", lambda effort: checked(outcome))
    monkeypatch.setattr("sys.argv", ["planner_check.py", "--out", str(tmp_path / "out.json")])
    assert planner_check.main() == status
    lines = capsys.readouterr().out.splitlines()
    row = next(line for line in lines if line.lstrip().startswith("fibre, hot, 442 MB"))
    assert row.split()[-1] == outcome.value.split()[-1]
    assert lines[-1].startswith("lambda_planner: asked=1 ")
    assert f" {outcome.name}=1" in lines[-1]
    assert " device_only=1 split=0 worker_only=0" in lines[-1]
    assert lines[-1].count("=1") == 3
    assert "off by 10.0% (latency) and 50.0% (dollars)" in lines[-2]
    assert (tmp_path / "out.json").exists()


def call(
    latency_s: float, init_s: float, duration_s: float, tail_s: float, decode_s: float = 0, boundary_bytes: int = 0
) -> Call:
    invocation = Invocation("id", init_s > 0, init_s, duration_s, 512, 0, None)
    times = splitnet.StepTimes(tail_s=tail_s, decode_s=decode_s, boundary_bytes=boundary_bytes)
    return Call(latency_s, times, invocation)


def test_starts_are_differences_of_cold_and_hot_calls() -> None:
    hot = [call(0.10, 0, 0.030, 0.025), call(0.11, 0, 0.031, 0.026), call(9.0, 0, 9.0, 9.0)]
    cold = [call(0.61, 0.40, 0.081, 0.06)] * 3
    starts = starts_of(hot, cold)
    assert starts.cold_start_s == pytest.approx(0.50)
    assert starts.billed_s == pytest.approx(0.45)
    assert starts.tail_s == pytest.approx(0.026)


def test_what_is_billed_beside_is_a_line_over_bytes() -> None:
    large = [call(0.1, 0, 0.030, 0.025, 0.001, 600_000), call(9.0, 0, 9.0, 1.0, 0.001, 600_000)] + [
        call(0.1, 0, 0.031, 0.026, 0.001, 600_000)
    ]
    small = [call(0.1, 0, 0.007, 0.0052, 0.0003, 100_000)] * 3
    beside = billed_beside(large, small)
    assert beside.s_per_byte == pytest.approx(0.0025 / 500_000)
    assert beside.overhead_s == pytest.approx(0.001)
    assert billed_beside(small, large).s_per_byte == pytest.approx(beside.s_per_byte)
    assert billed_beside([call(0.1, 0, 0.001, 0, 0, 600_000)], small).s_per_byte == 0, "never paid for more bytes"


def test_dollars_are_those_of_what_is_billed() -> None:
    assert dollars_of(call(1, 0.4, 0.0811, 0), 512) == pytest.approx(0.2e-6 + 0.482 * 0.5 * 16.6667e-6)
    assert dollars_of(Call(1, splitnet.StepTimes(), None), 0) == 0
