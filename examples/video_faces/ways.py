# SPDX-License-Identifier: Apache-2.0
"""Where a network may run: what the planner chose, and what it didn't, tried out."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import splitnet
from common.worker_token import worker_token
from splitnet.names import cut_name, short_codec

#: A device with a quota of processor time exceeds it now and then, and makes up for it soon after: short passes are right
#: only on average.
PASSES_IN_A_ROW = 8


@dataclass(frozen=True)
class Way:
    """One place where a network may run."""

    device: str  #: How fast it is, in words.
    network: str
    where: str  #: As "after 3.1".
    codec: str
    sent_bytes: float  #: On the wire, for one pass.
    predicted_s: float
    measured_s: float  #: Of one pass among several in a row; median over the rounds.
    is_pick: bool  #: What the planner chose.


def measured_ways(
    device: str, network: str, part: splitnet.Partitioner, plan: splitnet.TwoTierPlan, wire_share: float, rounds: int
) -> list[Way]:
    """The planner's pick, the device, the worker, and the fastest split, side by side: one round after the other.

    `wire_share`: bytes on the wire for a byte of a tensor.
    """
    chosen = _candidates(part, plan)
    sessions = [_forced(part, plan.worker, candidate) for candidate in chosen]
    times: list[list[float]] = [[] for _ in chosen]
    try:
        for number in range(rounds + 1):
            for session, found in zip(sessions, times, strict=True):
                begun_s = time.perf_counter()
                for _ in range(PASSES_IN_A_ROW):
                    session.run(*part.example_inputs)
                if number:  # The first prepares stages.
                    found.append((time.perf_counter() - begun_s) / PASSES_IN_A_ROW)
    finally:
        for session in sessions:
            session.close()
    return [
        Way(
            device=device,
            network=network,
            where=cut_name(plan.problem.graph, _head(part, one)),
            codec=short_codec(one.assignment.codecs[0]) if one.assignment.codecs else "",
            sent_bytes=(one.cost.hops[0].bytes_up if one.cost.hops else 0) * wire_share,
            predicted_s=one.cost.latency_s,
            measured_s=statistics.median(found),
            is_pick=one is chosen[0],
        )
        for one, found in zip(chosen, times, strict=True)
    ]


def _candidates(part: splitnet.Partitioner, plan: splitnet.TwoTierPlan) -> list[splitnet.Candidate]:
    """The pick first, then the fastest of each other kind."""
    layers = len(part.layers.layers)
    fitting = [one for one in plan.plan.candidates if not one.violates]

    def kind(one: splitnet.Candidate) -> str:
        size = len(_head(part, one))
        return "device" if size == layers else "split" if size else "worker"

    fastest = [plan.chosen]
    for wanted in ("device", "worker", "split"):
        of_kind = [one for one in fitting if kind(one) == wanted]
        if wanted != kind(plan.chosen) and of_kind:
            fastest.append(min(of_kind, key=lambda one: one.cost.latency_s))
    return fastest


def _head(part: splitnet.Partitioner, candidate: splitnet.Candidate) -> list[int]:
    heads = candidate.assignment.heads
    return list(heads[0]) if heads else list(range(len(part.layers.layers)))


def _forced(part: splitnet.Partitioner, worker: str, candidate: splitnet.Candidate) -> splitnet.Session:
    head = _head(part, candidate)
    if len(head) == len(part.layers.layers):
        return splitnet.Session(part, threads=1)
    codec = candidate.assignment.codecs[0]
    return splitnet.Session(
        part, worker=worker, cut=head, codec=codec, threads=1, finish_on_device=False, token=worker_token()
    )
