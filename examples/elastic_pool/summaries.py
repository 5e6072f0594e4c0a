# SPDX-License-Identifier: Apache-2.0
"""What a policy did with a load, in a few figures."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from common.tables import text_table
from elastic_pool.simulation import Outcome


@dataclass(frozen=True)
class Run:
    """A load under a policy."""

    shape: str
    policy: str
    asked: int  #: Requests that were sent.
    outcome: Outcome


@dataclass(frozen=True)
class Figures:
    """Of a run."""

    answered: int
    median_s: float  #: Of the latencies, from the caller's side.
    p95_s: float
    longest_s: float
    in_time: float  #: The share of requests with an answer within the target.
    most_workers: int  #: At once, those that start included.
    started: int
    turns: int  #: How often starting was followed by ending, or the other way round.
    worker_s: float
    dollars: float

    @staticmethod
    def of(run: Run, target_s: float) -> Figures:
        latencies = sorted(latency for _, latency in run.outcome.requests) or [0.0]
        samples = run.outcome.samples
        signs = [sample.decided > 0 for sample in samples if sample.decided]
        return Figures(
            answered=len(run.outcome.requests),
            median_s=statistics.median(latencies),
            p95_s=latencies[min(len(latencies) - 1, int(0.95 * len(latencies)))],
            longest_s=latencies[-1],
            in_time=sum(latency <= target_s for _, latency in run.outcome.requests) / max(1, run.asked),
            most_workers=max(sample.running + sample.starting for sample in samples),
            started=samples[-1].started,
            turns=sum(one != other for one, other in zip(signs, signs[1:], strict=False)),
            worker_s=samples[-1].worker_s,
            dollars=samples[-1].dollars,
        )


def headline(runs: Sequence[Run], target_s: float) -> str:
    """LOAD_POLICY_p95_s=… of each run, where POLICY is its name's first word."""
    words = []
    for run in runs:
        policy = run.policy.split()[0].rstrip(":").lower()
        words.append(f"{run.shape}_{policy}_p95_s={Figures.of(run, target_s).p95_s:.2f}")
    return " ".join(words)


def runs_table(title: str, runs: Sequence[Run], target_s: float) -> str:
    """A row for each run."""
    columns = [
        *("load", "policy", "answered", "median s", "p95 s", "longest s", f"in {target_s:g} s"),
        *("most workers", "started", "turns", "worker seconds", "US cents"),
    ]
    rows = []
    for run in runs:
        found = Figures.of(run, target_s)
        rows.append(
            [
                *(run.shape, run.policy, f"{found.answered} of {run.asked}"),
                *(f"{seconds:.2f}" for seconds in (found.median_s, found.p95_s, found.longest_s)),
                *(f"{found.in_time:.1%}", str(found.most_workers), str(found.started), str(found.turns)),
                *(f"{found.worker_s:.0f}", f"{100 * found.dollars:.3f}"),
            ]
        )
    return text_table(title, columns, rows)
