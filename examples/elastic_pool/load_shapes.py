# SPDX-License-Identifier: Apache-2.0
"""Requests that come at random, more of them at some times than at others: step, ramp, burst."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class LoadShape:
    """A rate over time, from 0 to `duration_s`."""

    name: str
    duration_s: float
    most_per_s: float  #: No rate is higher.
    rate_per_s: Callable[[float], float]

    def arrivals_s(self, seed: int) -> list[float]:
        """A Poisson process of that rate, the same for a seed: one of the highest rate, of whose arrivals each is taken with
        the probability rate/highest (P. Lewis and G. Shedler, "Simulation of nonhomogeneous Poisson processes by
        thinning", 1979)."""
        dice = random.Random(seed)
        found, now_s = [], 0.0
        while (now_s := now_s + dice.expovariate(self.most_per_s)) < self.duration_s:
            if dice.random() * self.most_per_s < self.rate_per_s(now_s):
                found.append(now_s)
        return found


def step(duration_s: float, most_per_s: float) -> LoadShape:
    """A tenth of the rate; from a quarter of the time to three quarters all of it."""
    quarter_s = duration_s / 4

    def rate(now_s: float) -> float:
        return most_per_s if quarter_s <= now_s < 3 * quarter_s else most_per_s / 10

    return LoadShape("step", duration_s, most_per_s, rate)


def ramp(duration_s: float, most_per_s: float) -> LoadShape:
    """From nothing up to the rate at two thirds of the time, and down to nothing again."""
    top_s = duration_s * 2 / 3

    def rate(now_s: float) -> float:
        return most_per_s * (now_s / top_s if now_s < top_s else (duration_s - now_s) / (duration_s - top_s))

    return LoadShape("ramp", duration_s, most_per_s, rate)


def burst(duration_s: float, most_per_s: float) -> LoadShape:
    """Nothing but two bursts: each of a twentieth of the time at the rate, beginning at a tenth and at six tenths."""

    def rate(now_s: float) -> float:
        share = now_s / duration_s
        return most_per_s if 0.1 <= share < 0.15 or 0.6 <= share < 0.65 else 0.0

    return LoadShape("burst", duration_s, most_per_s, rate)


def steady(duration_s: float, most_per_s: float) -> LoadShape:
    """The same rate all the time."""
    return LoadShape("steady", duration_s, most_per_s, lambda now_s: most_per_s)


#: By name: (duration_s, most_per_s) to a shape.
SHAPES: dict[str, Callable[[float, float], LoadShape]] = {"step": step, "ramp": ramp, "burst": burst}
