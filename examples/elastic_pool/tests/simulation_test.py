# SPDX-License-Identifier: Apache-2.0
"""The simulation against what queueing theory knows, and what it does with policies."""

from __future__ import annotations

import statistics

import pytest

from elastic_pool.load_shapes import SHAPES, LoadShape, burst, ramp, steady, step
from elastic_pool.policies import (
    Decision,
    LatencyTarget,
    Observation,
    Past,
    Policy,
    WaitingMinusRunning,
    WaitingPerWorker,
)
from elastic_pool.queueing import late_probability, mean_wait_s
from elastic_pool.simulation import SimulatedPool, around, exponential, simulate


class Unchanged:
    """As many as there are at the beginning."""

    name = "unchanged"

    def decide(self, seen: Observation, past: Past) -> tuple[Decision, Past]:
        return Decision(), past


@pytest.mark.parametrize(("rate_per_s", "workers"), [(0.7, 1), (8.0, 10), (2.4, 3)])
def test_it_agrees_with_erlang(rate_per_s: float, workers: int) -> None:
    """M/M/c: the mean wait, the share that waits longer, and Little's law, within what chance allows."""
    shape = steady(60_000.0 / rate_per_s, rate_per_s)
    pool = SimulatedPool(exponential(1.0), exponential(1.0), interval_s=7.0, workers=workers)
    arrivals = shape.arrivals_s(seed=4)
    outcome = simulate(Unchanged(), arrivals, pool, shape.duration_s)
    assert len(outcome.requests) == len(arrivals)
    latency_s = statistics.fmean(latency for _, latency in outcome.requests)
    assert latency_s == pytest.approx(1.0 + mean_wait_s(rate_per_s, 1.0, workers), rel=0.06)
    late = [latency > 6.0 for _, latency in outcome.requests]
    at_least = late_probability(rate_per_s, 1.0, workers, 6.0)
    assert at_least < statistics.fmean(late) < at_least + 0.15, "service time comes on top of the wait"
    inside = statistics.fmean(sample.waiting + sample.in_flight for sample in outcome.samples)
    assert inside == pytest.approx(rate_per_s * latency_s, rel=0.06)


def machines(seed: int = 1) -> SimulatedPool:
    """As S2 has them: 72 s to boot."""
    return SimulatedPool(
        around(1.0), around(72.0), interval_s=5.0, expected_service_s=1.0, expected_start_s=72.0, seed=seed
    )


POLICIES: list[Policy] = [
    WaitingMinusRunning(15),
    WaitingPerWorker(5, 15),
    LatencyTarget(target_s=30.0, max_workers=15, stop_after_s=120, zero_after_s=300),
]


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.name)
@pytest.mark.parametrize("shape", SHAPES)
def test_all_are_answered_and_all_workers_stop(policy: Policy, shape: str) -> None:
    load = SHAPES[shape](1200.0, 8.0)
    arrivals = load.arrivals_s(seed=1)
    outcome = simulate(policy, arrivals, machines(), 2500.0)
    assert sorted(arrived for arrived, _ in outcome.requests) == pytest.approx(arrivals)
    assert max(sample.running + sample.starting for sample in outcome.samples) <= 15
    assert outcome.samples[-1].running + outcome.samples[-1].starting == 0
    assert outcome.samples[-1].answered == len(arrivals)
    assert all(latency > 0 for _, latency in outcome.requests)


def test_the_same_seed_gives_the_same_run() -> None:
    arrivals = burst(600.0, 5.0).arrivals_s(seed=2)
    runs = [simulate(POLICIES[2], arrivals, machines(seed), 900.0) for seed in (1, 1, 2)]
    assert runs[0].samples == runs[1].samples
    assert runs[0].samples != runs[2].samples


def test_what_workers_cost_is_their_time() -> None:
    pool = SimulatedPool(around(1.0), around(1.0), interval_s=10.0, workers=4)
    outcome = simulate(Unchanged(), [], pool, 100.0)
    assert outcome.samples[-1].worker_s == pytest.approx(400.0)


def test_a_terminate_message_ends_an_idle_worker_and_no_other() -> None:
    class AllStop:
        name = "all stop"

        def decide(self, seen: Observation, past: Past) -> tuple[Decision, Past]:
            return Decision(terminate=seen.running if seen.now_s == 10.0 else 0), past

    pool = SimulatedPool(around(30.0, 0.0), around(1.0), interval_s=10.0, workers=2)
    outcome = simulate(AllStop(), [9.0], pool, 100.0)
    assert [latency for _, latency in outcome.requests] == [30.0]
    assert outcome.samples[1].running == 1, "the busy one stays"
    assert outcome.samples[-1].running == 1, "also later: the message has expired by then"


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (steady(1000.0, 3.0), 3000.0),
        (step(1000.0, 4.0), 2200.0),
        (ramp(1000.0, 4.0), 2000.0),
        (burst(1000.0, 30.0), 3000.0),
    ],
)
def test_shapes_have_as_many_arrivals_as_their_rate_says(shape: LoadShape, expected: float) -> None:
    arrivals = shape.arrivals_s(seed=9)
    assert len(arrivals) == pytest.approx(expected, abs=5 * expected**0.5)
    assert arrivals == sorted(arrivals)
    assert 0 <= arrivals[0] and arrivals[-1] < 1000.0
    assert all(shape.rate_per_s(arrival) > 0 for arrival in arrivals)
