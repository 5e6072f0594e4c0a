# SPDX-License-Identifier: Apache-2.0
"""Judgement on figures that are given."""

from __future__ import annotations

import pytest

from picks.errors import CheckError
from picks.scenarios import Link, Placement, Scenario
from picks.verdicts import Outcome, Samples, judge, regret_of

LINK = Link("link", 1e6, 1e6, 0.01)
HERE = Placement("", 0, 9)
SMALL, LARGE = Placement("link", 442, 0, "int8"), Placement("link", 1769, 0, "int8")
SCENARIO = Scenario(LINK, 0, (442, 1769))


def samples(latency_s: list[float], dollars: float = 0) -> Samples:
    return Samples(latency_s, [dollars] * len(latency_s))


def outcome(pick: Placement, here: list[float], small: list[float], large: list[float]) -> Outcome:
    measured = {HERE: samples(here), SMALL: samples(small), LARGE: samples(large)}
    return judge(SCENARIO, pick, measured).outcome


def test_a_pick_is_right_within_five_per_cent() -> None:
    assert outcome(LARGE, [3] * 3, [2] * 3, [1] * 3) is Outcome.right
    assert outcome(SMALL, [3] * 3, [1.04] * 3, [1] * 3) is Outcome.right
    assert outcome(SMALL, [3] * 3, [1.06] * 3, [1] * 3) is Outcome.wrong


def test_what_is_slower_by_no_more_than_it_strays_is_counted_by_itself() -> None:
    assert outcome(SMALL, [3] * 3, [0.9, 1.1, 1.3], [1] * 3) is Outcome.within_spread
    assert outcome(SMALL, [3] * 3, [1.09, 1.1, 1.3], [1] * 3) is Outcome.wrong


def test_nothing_is_decided_where_all_take_the_same() -> None:
    assert outcome(HERE, [1.04] * 3, [1.03] * 3, [1] * 3) is Outcome.undecided
    assert outcome(LARGE, [1.04] * 3, [1.06] * 3, [1] * 3) is Outcome.right


def test_medians_count() -> None:
    assert outcome(LARGE, [3] * 3, [2] * 3, [1, 1, 50]) is Outcome.right


def test_what_is_not_on_offer_does_not_count() -> None:
    elsewhere = Placement("other", 1769, 0, "int8")
    measured = {HERE: samples([2]), SMALL: samples([3]), LARGE: samples([1]), elsewhere: samples([0.5])}
    assert judge(Scenario(LINK, 0, (442,)), HERE, measured).outcome is Outcome.right
    with pytest.raises(CheckError, match="was not measured"):
        judge(Scenario(LINK, 0, (442,)), LARGE, measured)


@pytest.mark.parametrize(
    ("limit", "pick", "expected"),
    [
        (9.6, LARGE, Outcome.right),  # Within 5 % above: can't be told apart from keeping to it.
        (9.5, LARGE, Outcome.over_limit),
        (10.4, SMALL, Outcome.right),  # Within 5 % below: the faster one is not held against the pick.
        (10.6, SMALL, Outcome.wrong),
        (9.5, HERE, Outcome.wrong),
        (5, HERE, Outcome.right),
    ],
)
def test_a_limit_on_dollars(limit: float, pick: Placement, expected: Outcome) -> None:
    measured = {HERE: samples([3], 0), SMALL: samples([2], 6), LARGE: samples([1], 10)}
    assert judge(SCENARIO.within(limit), pick, measured).outcome is expected


def test_regret_is_of_medians_and_its_spread_from_round_to_round() -> None:
    regret, spread = regret_of([1.1, 1.2, 9.0], [1.0, 1.0, 1.0])
    assert regret == pytest.approx(0.2)
    assert spread == pytest.approx(0.1)


def test_only_what_is_wrong_fails() -> None:
    assert [one for one in Outcome if one.is_failure] == [Outcome.wrong, Outcome.over_limit]
