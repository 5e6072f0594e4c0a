# SPDX-License-Identifier: Apache-2.0
"""The check of the planner: its judgement on figures that are given."""

from __future__ import annotations

import math

import pytest

import splitnet
from planner_check import Placement, Samples, Scenario, Verdict, regret_of, scenarios, widest_gap

HERE = Placement(None, 9)
SMALL, LARGE = Placement(442, 0, "int8"), Placement(1769, 0, "int8")


def test_regret_is_of_medians_and_its_spread_from_round_to_round() -> None:
    regret, spread = regret_of([1.1, 1.2, 9.0], [1.0, 1.0, 1.0])
    assert regret == pytest.approx(0.2)
    assert spread == pytest.approx(0.1)


def test_paying_where_the_best_costs_nothing_is_never_right() -> None:
    assert regret_of([1e-9], [0.0]) == (math.inf, 0.0)
    assert regret_of([0.0], [0.0]) == (0.0, 0.0)


def verdict(regret: float, spread: float, keeps_to_bound: bool) -> Verdict:
    return Verdict("net", 16, "", "", 1, 1, 0, 0, "", regret, spread, keeps_to_bound)


def test_a_pick_is_right_within_five_per_cent_or_the_spread_and_the_bound() -> None:
    assert verdict(0.05, 0, True).is_right
    assert verdict(0.08, 0.09, True).is_right
    assert not verdict(0.08, 0.07, True).is_right
    assert not verdict(0, 0, False).is_right


def test_bounds_separate_what_was_measured() -> None:
    assert widest_gap([4.0, 1.0, 5.0]) == pytest.approx(2.0)
    medium = Placement(885, 0, "int8")
    measured = {
        HERE: Samples([1.0], [0.0]),
        SMALL: Samples([0.4], [1e-6]),
        medium: Samples([0.3], [2e-6]),
        LARGE: Samples([0.25], [9e-6]),
    }
    found = list(scenarios(0, measured))
    in_time = next(one for one in found if one.max_latency_s is not None)
    assert [in_time.keeps_to(samples) for samples in measured.values()] == [False, True, True, True]
    within_dollars = next(one for one in found if one.max_dollars is not None)
    assert [within_dollars.keeps_to(samples) for samples in measured.values()] == [True, True, True, False]


def test_a_scenario_offers_the_device_and_its_sizes() -> None:
    scenario = Scenario(0, (442,), splitnet.Objective.latency)
    assert [scenario.offers(one) for one in (HERE, SMALL, LARGE)] == [True, True, False]
