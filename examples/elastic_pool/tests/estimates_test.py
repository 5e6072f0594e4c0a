# SPDX-License-Identifier: Apache-2.0
"""What the estimator says of a queue whose every message is known."""

from __future__ import annotations

import pytest

from elastic_pool.estimates import LoadEstimator


def test_before_anything_is_known_it_is_as_expected() -> None:
    estimator = LoadEstimator(service_time_s=0.7, start_time_s=3.0)
    estimator.look(10.0, 0, 0, 0, 0.0)
    assert (estimator.service_time_s, estimator.start_time_s) == (0.7, 3.0)
    assert (estimator.arrivals_per_s, estimator.oldest_age_s, estimator.latency_s) == (0.0, 0.0, None)


def test_ages_and_latency_in_order_of_arrival() -> None:
    """Two messages a second, one answered a second: what waits gets older and older."""
    estimator = LoadEstimator(1.0, 1.0)
    for second in range(41):
        estimator.look(100.0 + second, waiting=second, in_flight=0, ended=second, work_s=0.9 * second)
    # Of 80 that came, 40 are answered: the 41st came at second 20.5, seen at 21.
    assert estimator.oldest_age_s == pytest.approx(40 - 21)
    assert estimator.latency_s == pytest.approx(40 - 19), "the 40th came at second 20, after the look at 19"
    assert estimator.service_time_s == pytest.approx(0.9)
    assert estimator.arrivals_per_s == pytest.approx(2.0, rel=0.05)


def test_what_is_in_flight_does_not_wait() -> None:
    estimator = LoadEstimator(1.0, 1.0)
    estimator.look(0.0, 0, 0, 0, 0.0)
    estimator.look(1.0, 3, 0, 0, 0.0)
    estimator.look(5.0, 2, 3, 0, 0.0)  # Two more; the first three are being worked on.
    assert estimator.oldest_age_s == 0.0
    estimator.look(9.0, 3, 2, 0, 0.0)  # One was given back.
    assert estimator.oldest_age_s == pytest.approx(8.0)


def test_what_no_look_has_seen_took_less_than_from_look_to_look() -> None:
    estimator = LoadEstimator(1.0, 1.0)
    estimator.look(10.0, 0, 0, 0, 0.0)
    estimator.look(11.5, 0, 0, 3, 0.1)
    assert estimator.latency_s == pytest.approx(1.5)
    estimator.look(60.0, 0, 0, 3, 0.1)
    assert estimator.latency_s == pytest.approx(1.5), "of the one that ended last"


def test_nobody_knows_how_long_those_took_that_were_there_at_first() -> None:
    estimator = LoadEstimator(1.0, 1.0)
    estimator.look(0.0, 2, 0, 0, 0.0)
    estimator.look(1.0, 0, 1, 1, 0.5)
    assert estimator.latency_s is None
    estimator.look(2.0, 1, 0, 2, 1.0)
    assert estimator.latency_s is None
    estimator.look(4.0, 0, 0, 3, 1.5)
    assert estimator.latency_s == pytest.approx(4 - 1)


def test_a_message_counted_twice_for_a_moment_does_no_harm() -> None:
    """An answer that has ended, and is not deleted yet."""
    estimator = LoadEstimator(1.0, 1.0)
    estimator.look(0.0, 0, 0, 0, 0.0)
    estimator.look(1.0, 0, 1, 0, 0.0)
    estimator.look(2.0, 0, 1, 1, 0.5)
    estimator.look(3.0, 0, 0, 1, 0.5)
    estimator.look(4.0, 1, 0, 1, 0.5)
    estimator.look(6.0, 1, 0, 1, 0.5)
    assert estimator.oldest_age_s == pytest.approx(2.0)


def test_a_queue_that_lost_its_messages() -> None:
    estimator = LoadEstimator(1.0, 1.0)
    estimator.look(0.0, 0, 0, 0, 0.0)
    estimator.look(1.0, 100, 0, 0, 0.0)
    estimator.look(2.0, 0, 0, 0, 0.0)
    assert estimator.arrivals_per_s == pytest.approx(0.0, abs=1.0)
    estimator.look(50.0, 1, 0, 0, 0.0)
    assert estimator.oldest_age_s == 0.0
    assert 0 <= estimator.arrivals_per_s < 1


def test_arrivals_are_forgotten() -> None:
    estimator = LoadEstimator(1.0, 1.0, memory_s=10)
    for second in range(30):
        estimator.look(second, 0, 0, 5 * second, second)
    assert estimator.arrivals_per_s == pytest.approx(5, rel=0.06)
    for second in range(30, 100):
        estimator.look(second, 0, 0, 145, 29)
    assert estimator.arrivals_per_s < 0.01


def test_start_times_count_the_more_the_later_they_are() -> None:
    estimator = LoadEstimator(1.0, start_time_s=8.0)
    for _ in range(10):
        estimator.started(2.0)
    assert estimator.start_time_s == pytest.approx(2.0, abs=0.01)
