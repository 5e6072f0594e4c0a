# SPDX-License-Identifier: Apache-2.0
"""Where the network runs: on this device, or split with a worker, where a plan or the user says."""

from __future__ import annotations

import argparse

import splitnet
from detection.codecs import calibrated

MAX_ACCURACY_LOSS = 0.05  #: Of what a codec may change the heads by: mean relative error.


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options that open_session reads."""
    parser.add_argument(
        "--worker", default="", metavar="ENDPOINT", help="as tcp://127.0.0.1:7070; none: this device only"
    )
    parser.add_argument("--cut", metavar="LAYER", help="cut behind this layer; none: a plan says where, or not at all")
    parser.add_argument("--codec", default="raw", help="of the boundary, with --cut (%(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="that one pass may use (%(default)s)")


def open_session(part: splitnet.Partitioner, options: argparse.Namespace) -> splitnet.Session:
    """Raises splitnet.Error."""
    if not options.worker:
        return splitnet.Session(part, threads=options.threads)
    if options.cut:
        return splitnet.Session(
            part, worker=options.worker, cut=options.cut, codec=options.codec, threads=options.threads
        )
    return splitnet.Session(part, make_plan(part, options.worker, options.threads))


def make_plan(
    part: splitnet.Partitioner, worker: str, threads: int = 1, planning: splitnet.TwoTierOptions | None = None
) -> splitnet.TwoTierPlan:
    """The fastest place, cut and codec under MAX_ACCURACY_LOSS."""
    return splitnet.plan(
        part,
        worker,
        max_accuracy_loss=MAX_ACCURACY_LOSS,
        calibration=calibrated(part),
        planning=planning,
        threads=threads,
    )
