# SPDX-License-Identifier: Apache-2.0
"""The formulas of S2 and S4 by tables worked out by hand; what ours promises, on many random observations."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from elastic_pool.policies import (
    Decision,
    LatencyTarget,
    Observation,
    Past,
    Policy,
    WaitingMinusRunning,
    WaitingPerWorker,
    machine_workers,
)


def decision(policy: Policy, **counts: int) -> Decision:
    return policy.decide(Observation(now_s=0.0, **counts), Past())[0]


@pytest.mark.parametrize(
    ("waiting", "running", "starting", "start", "terminate"),
    [
        (0, 0, 0, 0, 0),
        (1, 0, 0, 1, 0),
        (20, 0, 0, 15, 0),  # At most 15.
        (20, 4, 0, 11, 0),  # 16 would be more than 15 in all.
        (20, 0, 15, 0, 0),  # Those that boot count.
        (7, 3, 2, 2, 0),
        (3, 3, 0, 0, 0),
        (2, 5, 0, 0, 0),  # Nobody stops before the queue is empty.
        (0, 5, 1, 0, 5),
    ],
)
def test_s2_starts_the_difference(waiting: int, running: int, starting: int, start: int, terminate: int) -> None:
    found = decision(WaitingMinusRunning(), waiting=waiting, running=running, starting=starting)
    assert found == Decision(start, terminate)


@pytest.mark.parametrize(
    ("qos", "most", "waiting", "running", "desired", "feasible", "missing"),
    [
        (5, 19, 0, 0, 0, 0, 0),
        (5, 19, 1, 0, 1, 1, 1),
        (5, 19, 5, 0, 1, 1, 1),
        (5, 19, 6, 0, 2, 2, 2),
        (5, 19, 40, 3, 8, 8, 5),
        (5, 19, 100, 4, 20, 19, 15),  # F: no more than there may be.
        (5, 19, 11, 7, 3, 3, -4),  # S < 0: four terminate messages.
        (5, 19, 0, 6, 0, 0, -6),  # Nothing waits: all stop.
        (1, 3, 40, 0, 40, 3, 3),
        (8, 4, 17, 3, 3, 3, 0),
    ],
)
def test_s4_by_its_formula(
    qos: int, most: int, waiting: int, running: int, desired: int, feasible: int, missing: int
) -> None:
    assert feasible == min(most, desired) and missing == feasible - running, "the table itself"
    found = decision(WaitingPerWorker(qos, most), waiting=waiting, running=running)
    assert found.start - found.terminate == missing
    assert min(found.start, found.terminate) == 0


def test_s4_counts_workers_that_boot() -> None:
    assert decision(WaitingPerWorker(5, 19), waiting=10, running=1, starting=1) == Decision()


def test_s4_does_not_send_again_what_nobody_has_got_yet() -> None:
    assert decision(WaitingPerWorker(5, 19), running=4, terminating=0) == Decision(terminate=4)
    assert decision(WaitingPerWorker(5, 19), running=4, terminating=3) == Decision(terminate=1)
    assert decision(WaitingPerWorker(5, 19), running=4, terminating=6) == Decision()


def random_observation(dice: random.Random, now_s: float) -> Observation:
    running = dice.randrange(12)
    return Observation(
        now_s=now_s,
        waiting=dice.choice([0, 0, 1, 3, dice.randrange(1000)]),
        in_flight=dice.randrange(10),
        running=running,
        starting=dice.randrange(4),
        idle=dice.randint(0, running),
        terminating=dice.randrange(3),
        arrivals_per_s=dice.choice([0.0, dice.uniform(0, 5), dice.uniform(0, 500)]),
        service_time_s=dice.uniform(0.001, 5),
        start_time_s=dice.uniform(0.1, 80),
        oldest_age_s=dice.uniform(0, 100),
    )


@pytest.mark.parametrize("policy", [WaitingMinusRunning(10), WaitingPerWorker(3, 10), LatencyTarget(max_workers=10)])
def test_never_more_than_the_most_and_never_both_at_once(policy: Policy) -> None:
    dice, past = random.Random(1), Past()
    for step in range(3000):
        seen = random_observation(dice, step * 1.0)
        found, past = policy.decide(seen, past)
        assert found.start >= 0 and found.terminate >= 0
        assert found.start == 0 or seen.running + seen.starting + found.start <= 10
        assert found.start == 0 or found.terminate == 0


def test_ours_ends_no_more_than_run_and_keeps_the_warm_ones() -> None:
    policy = LatencyTarget(max_workers=10, min_workers=2, zero_after_s=None)
    dice, past = random.Random(2), Past()
    for step in range(3000):
        seen = random_observation(dice, step * 1.0)
        found, past = policy.decide(seen, past)
        there = seen.running + seen.starting
        assert found.terminate + seen.terminating <= max(seen.terminating, there - 2)
        assert there + found.start >= 2


class Following:
    """Workers that do at once what a policy decides; the idle ones end."""

    def __init__(self, policy: Policy, interval_s: float = 1.0) -> None:
        self.policy, self.interval_s = policy, interval_s
        self.past = Past()
        self.now_s = 0.0
        self.workers = 0
        self.changes: list[int] = []

    def look(self, seen: Observation) -> int:
        seen = replace(seen, now_s=self.now_s, running=self.workers, idle=self.workers)
        found, self.past = self.policy.decide(seen, self.past)
        self.workers += found.start - found.terminate
        if found != Decision():
            self.changes.append(found.start - found.terminate)
        self.now_s += self.interval_s
        return self.workers


def test_ours_goes_to_zero_when_idle_for_long_and_not_before() -> None:
    following = Following(LatencyTarget(min_workers=1, zero_after_s=30, stop_after_s=10))
    busy = Observation(0, waiting=40, arrivals_per_s=20, service_time_s=0.2, start_time_s=1)
    assert following.look(busy) > 1
    quiet = [following.look(Observation(0, service_time_s=0.2, start_time_s=1)) for _ in range(60)]
    assert quiet[15] == 1, "the warm one stays"
    assert quiet[28] == 1
    assert quiet[31:] == [0] * 29
    assert following.look(Observation(0, waiting=1, service_time_s=0.2, start_time_s=1)) == 1, "and comes back"


def test_ours_starts_the_warm_ones_before_anything_comes() -> None:
    assert decision(LatencyTarget(min_workers=3)) == Decision(start=3)
    assert decision(LatencyTarget(min_workers=0)) == Decision()


def test_ours_does_not_flap_where_the_formulas_do() -> None:
    """Arrivals with noise around what five workers need: counted changes of direction."""

    def turns(policy: Policy) -> int:
        dice = random.Random(3)
        following = Following(policy)
        for _ in range(600):
            waiting = max(0, round(dice.gauss(4, 4)))
            rate = max(0.0, dice.gauss(10, 1.5))
            following.look(Observation(0, waiting, 5, arrivals_per_s=rate, service_time_s=0.4, start_time_s=2))
        signs = [change > 0 for change in following.changes]
        return sum(1 for one, next_one in zip(signs, signs[1:], strict=False) if one != next_one)

    assert turns(LatencyTarget(target_s=2, stop_after_s=60)) <= 10
    assert turns(WaitingPerWorker(2, 15)) > 100, "or the load would test nothing"


def test_ours_starts_fast_and_stops_late() -> None:
    following = Following(LatencyTarget(target_s=2, stop_after_s=20, zero_after_s=None))
    heavy = Observation(0, waiting=30, arrivals_per_s=20, service_time_s=0.5, start_time_s=1)
    light = Observation(0, waiting=0, in_flight=1, arrivals_per_s=1, service_time_s=0.5, start_time_s=1)
    most = following.look(heavy)
    assert most >= 10, "at the first look"
    assert [following.look(light) for _ in range(18)] == [most] * 18
    assert [following.look(light) for _ in range(5)][-1] <= 3


def test_ours_starts_nobody_who_would_come_too_late() -> None:
    backlog = Observation(0, waiting=8, running=4, service_time_s=0.5, start_time_s=10)
    policy = LatencyTarget(target_s=2)
    assert policy.decide(backlog, Past())[0] == Decision(), "four have done it long before a fifth is there"
    quick = replace(backlog, start_time_s=0.2)
    assert policy.decide(replace(quick, waiting=40), Past())[0].start > 0


def test_ours_takes_what_little_the_arrivals_need() -> None:
    """20 requests a second of 0.1 s: two would be busy all the time, a third keeps waiting short."""
    seen = Observation(0, in_flight=2, arrivals_per_s=20, service_time_s=0.1, start_time_s=1)
    assert LatencyTarget(target_s=1.0).decide(seen, Past())[0].start == 3
    assert LatencyTarget(target_s=0.15).decide(seen, Past())[0].start > 3


@pytest.mark.parametrize(
    "wrong",
    [
        {"target_s": 0},
        {"target_s": float("nan")},
        {"max_workers": 0},
        {"min_workers": -1},
        {"min_workers": 16},
        {"late_share": 0},
        {"late_share": 1.0},
        {"stop_after_s": -1},
        {"zero_after_s": float("nan")},
    ],
)
def test_ours_names_a_wrong_field(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        LatencyTarget(**wrong)  # type: ignore[arg-type]


def test_theirs_name_a_wrong_field() -> None:
    with pytest.raises(ValueError, match="max_workers: found 0, expected at least 1"):
        WaitingMinusRunning(0)
    with pytest.raises(ValueError, match="waiting_per_worker"):
        WaitingPerWorker(0)


@pytest.mark.parametrize(
    ("cores", "threads", "memory_gib", "worker_gib", "workers"),
    [(2, 1, 8, 1, 2), (16, 1, 4, 1, 4), (16, 4, 64, 1, 4), (1, 2, 8, 1, 1)],
)
def test_a_machine_has_room_for(cores: int, threads: int, memory_gib: int, worker_gib: int, workers: int) -> None:
    assert machine_workers(cores, threads, memory_gib * 2**30, worker_gib * 2**30) == workers


def test_a_machine_may_be_too_small() -> None:
    with pytest.raises(ValueError, match="found 5 bytes of memory, expected 6"):
        machine_workers(1, 1, 5, 6)
