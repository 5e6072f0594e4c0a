# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import pytest

from elastic_pool.queueing import late_probability, mean_wait_s, wait_probability, workers_for_wait


@pytest.mark.parametrize(
    ("offered", "workers", "waits"),
    [
        (0.5, 1, 0.5),  # M/M/1: the share of the time that the worker is busy.
        (1.0, 2, 1 / 3),  # By hand: (1/2!·2/(2−1)) / (1 + 1 + 1/2!·2/(2−1)).
        (2.0, 3, 4 / 9),
        (0.0, 4, 0.0),
        (3.0, 3, 1.0),
        (9.0, 3, 1.0),
    ],
)
def test_erlangs_c(offered: float, workers: int, waits: float) -> None:
    assert wait_probability(offered, 1.0, workers) == pytest.approx(waits, abs=1e-12)


def test_erlangs_c_by_its_sum() -> None:
    offered, workers = 17.3, 21
    last = offered**workers / math.factorial(workers) * workers / (workers - offered)
    before = sum(offered**k / math.factorial(k) for k in range(workers))
    assert wait_probability(offered / 0.3, 0.3, workers) == pytest.approx(last / (before + last), rel=1e-12)


def test_mean_wait_of_one_worker() -> None:
    """rho / (mu − lambda)."""
    assert mean_wait_s(0.8, 1.0, 1) == pytest.approx(0.8 / 0.2)
    assert mean_wait_s(2.0, 1.0, 2) == math.inf


def test_the_mean_is_that_of_the_distribution() -> None:
    step_s = 0.001
    total = sum(late_probability(3.0, 0.5, 2, k * step_s) for k in range(20_000)) * step_s
    assert total == pytest.approx(mean_wait_s(3.0, 0.5, 2), rel=0.01)


def test_workers_for_wait_are_the_fewest() -> None:
    for rate in (0.1, 1, 7, 30):
        for wait_s in (0.0, 0.2, 2.0):
            workers = workers_for_wait(rate, 0.4, wait_s, 0.05, most=100)
            assert late_probability(rate, 0.4, workers, wait_s) <= 0.05
            assert workers == 1 or late_probability(rate, 0.4, workers - 1, wait_s) > 0.05


def test_never_more_than_there_may_be() -> None:
    assert workers_for_wait(1000.0, 1.0, 0.1, 0.05, most=7) == 7
