# SPDX-License-Identifier: Apache-2.0
"""Where the network runs: on this device, or split with a worker, where a plan or the user says."""

from __future__ import annotations

import argparse

import splitnet
from common.prices import planner_price
from common.worker_token import VARIABLE, worker_token
from detection.codecs import calibrated

INPUT = "input"  #: The cut before the first layer: the worker runs all of it.
#: What a codec may change the heads by: mean relative error. Up to here the sample photos keep all their objects; a JPEG
#: of quality 95 (0.036) loses the faint person.
MAX_ACCURACY_LOSS = 0.03


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options that open_session reads."""
    parser.add_argument(
        "--worker",
        default="",
        metavar="ENDPOINT",
        help=f"as tcp://127.0.0.1:7070; none: this device only; a token that it wants is taken from {VARIABLE}",
    )
    parser.add_argument(
        "--cut", metavar="LAYER", help=f"cut behind this layer, or at the {INPUT}; none: a plan decides"
    )
    parser.add_argument("--codec", default="raw", help="of the boundary, with --cut (%(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="that one pass may use (%(default)s)")


def open_session(part: splitnet.Partitioner, options: argparse.Namespace) -> splitnet.Session:
    """Raises splitnet.Error."""
    if not options.worker:
        if options.cut:
            raise splitnet.InvalidArgument(f"--cut {options.cut}: found no --worker to run what is behind it")
        return splitnet.Session(part, threads=options.threads)
    if not options.cut:
        return splitnet.Session(part, make_plan(part, options.worker, options.threads))
    head = part.layers.resolve(splitnet.Cut.at_input() if options.cut == INPUT else splitnet.Cut(options.cut))
    settings = splitnet.SessionOptions(codec_tables=_tables(part, head, options.codec))
    return splitnet.Session(
        part,
        worker=options.worker,
        cut=head,
        codec=options.codec,
        threads=options.threads,
        token=worker_token(),
        options=settings,
    )


def make_plan(
    part: splitnet.Partitioner, worker: str, threads: int = 1, memory_megabytes: int | None = None
) -> splitnet.TwoTierPlan:
    """The fastest place, cut and codec under MAX_ACCURACY_LOSS. With its memory, the worker is a function that is paid
    for. Raises splitnet.Error."""
    planning = splitnet.TwoTierOptions()
    if memory_megabytes is not None:
        tier = splitnet.Tier(memory_bytes=memory_megabytes * 2**20, price=planner_price(memory_megabytes))
        planning = planning.replace(worker=tier)
    return splitnet.plan(
        part,
        worker,
        max_accuracy_loss=MAX_ACCURACY_LOSS,
        calibration=calibrated(part),
        planning=planning,
        threads=threads,
        token=worker_token(),
    )


def best_split(plan: splitnet.TwoTierPlan) -> splitnet.Candidate:
    """The fastest candidate in which both sides compute, whether or not splitting pays. Raises ValueError: none does."""
    layers = len(plan.problem.graph.layers)
    splits = [
        one
        for one in plan.plan.candidates
        if not one.violates and one.assignment.heads and 0 < len(one.assignment.heads[0]) < layers
    ]
    if not splits:
        raise ValueError(f"found no split among {len(plan.plan.candidates)} candidates that keeps to the constraints")
    return min(splits, key=lambda one: one.cost.latency_s)


def _tables(part: splitnet.Partitioner, head: list[int], codec: str) -> bytes | None:
    """What the codec learned for this cut; None where it learns nothing."""
    if not codec.startswith("transform"):
        return None
    for profile in calibrated(part).profiles():
        if profile.name == codec and profile.head == head:
            return profile.tables
    raise splitnet.InvalidArgument(f"codec {codec}: no tables of it were learned for this cut, see detection/codecs.py")
