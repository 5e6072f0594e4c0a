# SPDX-License-Identifier: Apache-2.0
"""The M/M/c queue: requests that come at random, c workers that take a random time each, one queue.

Formulas: A. K. Erlang, "Solution of some problems in the theory of probabilities of significance in automatic telephone
exchanges", 1917; as in D. Gross et al., "Fundamentals of Queueing Theory", 4th edition, section 2.3.
"""

from __future__ import annotations

import math


def wait_probability(arrivals_per_s: float, service_time_s: float, workers: int) -> float:
    """That a request has to wait, Erlang's C formula; 1 where the workers don't keep up.

    With a = arrivals·service time: C = B / (1 − a/c·(1 − B)), and Erlang's B by its recursion B_0 = 1,
    B_k = a·B_{k−1} / (k + a·B_{k−1}), which overflows nowhere.
    """
    offered = arrivals_per_s * service_time_s
    if offered >= workers:
        return 1.0
    blocked = 1.0
    for k in range(1, workers + 1):
        blocked = offered * blocked / (k + offered * blocked)
    return blocked / (1 - offered / workers * (1 - blocked))


def mean_wait_s(arrivals_per_s: float, service_time_s: float, workers: int) -> float:
    """In the queue: C·s / (c − a); infinite where the workers don't keep up."""
    spare = workers - arrivals_per_s * service_time_s
    if spare <= 0:
        return math.inf
    return wait_probability(arrivals_per_s, service_time_s, workers) * service_time_s / spare


def late_probability(arrivals_per_s: float, service_time_s: float, workers: int, wait_s: float) -> float:
    """That a request waits longer: P(W > t) = C·exp(−(c − a)·t / s)."""
    spare = workers - arrivals_per_s * service_time_s
    if spare <= 0:
        return 1.0
    return wait_probability(arrivals_per_s, service_time_s, workers) * math.exp(-spare * wait_s / service_time_s)


def workers_for_wait(arrivals_per_s: float, service_time_s: float, wait_s: float, late_share: float, most: int) -> int:
    """The fewest workers, at most `most`, of whose requests at most `late_share` wait longer than `wait_s`."""
    for workers in range(max(1, math.ceil(arrivals_per_s * service_time_s)), most):
        if late_probability(arrivals_per_s, service_time_s, workers, wait_s) <= late_share:
            return workers
    return most
