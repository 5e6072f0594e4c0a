# SPDX-License-Identifier: Apache-2.0
"""Whether a pick was right, by what was measured."""

from __future__ import annotations

import enum
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from picks.errors import CheckError
from picks.scenarios import Placement, Scenario

TOLERANCE = 0.05


@dataclass
class Samples:
    """Of one placement, one of each round."""

    latency_s: list[float] = field(default_factory=list)
    dollars: list[float] = field(default_factory=list)

    @property
    def middle_s(self) -> float:
        return statistics.median(self.latency_s)

    @property
    def middle_dollars(self) -> float:
        return statistics.median(self.dollars)


Measured = Mapping[Placement, Samples]


class Outcome(enum.Enum):
    right = "right"  #: The best, or no more than TOLERANCE slower.
    within_spread = "within spread"  #: Slower by more, but by no more than measurements stray.
    undecided = (
        "undecided"  #: Several could be picked, none more than TOLERANCE slower than the best: nothing was asked.
    )
    wrong = "WRONG"
    over_limit = "OVER LIMIT"

    @property
    def is_failure(self) -> bool:
        return self in (Outcome.wrong, Outcome.over_limit)


@dataclass(frozen=True)
class Verdict:
    outcome: Outcome
    best: Placement
    regret: float  #: Of the pick's median latency, relative to the best's.
    spread: float  #: Median absolute deviation of that from round to round.


def judge(scenario: Scenario, pick: Placement, measured: Measured) -> Verdict:
    """Against everything that was measured, is on offer and keeps to the limit. Raises CheckError: the pick was not measured."""
    offered = {placement: samples for placement, samples in measured.items() if scenario.offers(placement)}
    if pick not in offered:
        raise CheckError(f"{scenario.name()}: the pick is {pick}, which was not measured")
    limit = scenario.max_dollars
    # Near to the limit it can't be told who keeps to it: there a pick is allowed, and nothing is held against another pick.
    allowed = {
        placement: samples
        for placement, samples in offered.items()
        if limit is None or placement == pick or samples.middle_dollars * (1 + TOLERANCE) <= limit
    }
    best = min(allowed, key=lambda placement: allowed[placement].middle_s)
    regret, spread = regret_of(allowed[pick].latency_s, allowed[best].latency_s)
    if limit is not None and allowed[pick].middle_dollars > limit * (1 + TOLERANCE):
        outcome = Outcome.over_limit
    elif len(allowed) > 1 and all(
        samples.middle_s <= allowed[best].middle_s * (1 + TOLERANCE) for samples in allowed.values()
    ):
        outcome = Outcome.undecided
    elif regret <= TOLERANCE:
        outcome = Outcome.right
    else:
        outcome = Outcome.within_spread if regret <= spread else Outcome.wrong
    return Verdict(outcome, best, regret, spread)


def regret_of(pick: Sequence[float], best: Sequence[float]) -> tuple[float, float]:
    """Relative to the best, of medians; and its median absolute deviation from round to round."""
    middle = statistics.median(best)
    by_round = [(a - b) / middle for a, b in zip(pick, best, strict=True)]
    centre = statistics.median(by_round)
    return statistics.median(pick) / middle - 1, statistics.median(abs(value - centre) for value in by_round)
