# SPDX-License-Identifier: Apache-2.0
"""Measures how long a worker takes from the start of its process to its first answer, and what a warm pool adds.

    scripts/bench worker_start [--model mobilenet_v2] [--rounds 5] [--out build/bench/worker_start.json]

The request waits in the queue before the worker is started, so that its answer is the first thing that the worker does.
A model as it was exported and the same one prepared (splitnet-worker --prepare) take turns. Then requests come alone to a pool
whose policy keeps no worker, and to one that keeps one ready: how long each takes from the caller's side, the controller's
look at the queue included. S2's workers were machines, which took 72 s to boot. The last line has the medians.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

import splitnet
from common.command_line import say
from common.environment import in_environment
from common.package_files import ROOT
from common.tables import text_table
from elastic_pool import real_run
from elastic_pool.classifiers import Classifier, UnknownClassifierError, classifier
from elastic_pool.controller import ControllerOptions, queue_pool
from elastic_pool.policies import LatencyTarget
from elastic_pool.real_run import RunError
from elastic_pool.work_queue import QueueError
from elastic_pool.worker_process import WorkerCommand, WorkerProcess, end_all
from local_aws import LocalAws
from local_aws.tail_function import prepared_model

_END_TIMEOUT_S = 40.0
_THEIR_START_S = 72.0


@dataclass(frozen=True)
class Start:
    """Seconds since the process was made, of one start."""

    model: str  #: "as exported" or "prepared".
    ready_s: float  #: Until it asked the queue for requests.
    answer_s: float  #: Until the caller had the first answer.


@dataclass(frozen=True)
class First:
    """A request that came alone."""

    warm_workers: int
    latency_s: float


def measure_start(
    model: Path, name: str, session: splitnet.Session, photo: torch.Tensor, queue: str, environment: Mapping[str, str]
) -> Start:
    """Raises RunError, OSError (there is no worker's program), splitnet.Error."""
    answer = session.submit(photo)
    worker = WorkerProcess(WorkerCommand([model], f"sqs://{queue}", real_run.WORKER_ARGUMENTS, environment), 1)
    try:
        answer.result()
        answered_s = time.monotonic()
    finally:
        end_all([worker], _END_TIMEOUT_S)
    real_run.forget_polls()
    if worker.ready_s is None:
        raise RunError(f"somebody else has answered; the worker: {worker.reason() or 'did not get ready'}")
    return Start(name, worker.ready_s - worker.started_s, answered_s - worker.started_s)


def measure_first(
    warm: int, model: Path, session: splitnet.Session, photo: torch.Tensor, queue: str, environment: Mapping[str, str]
) -> First:
    """The first request of a pool that has had time to start its warm workers.

    Raises QueueError, RuntimeError, TimeoutError (no worker got ready), splitnet.Error.
    """
    policy = LatencyTarget(min_workers=warm, max_workers=2, zero_after_s=None)
    with queue_pool([model], queue, policy, environment, real_run.WORKER_ARGUMENTS) as pool:
        pool.wait_ready(warm)
        time.sleep(random.uniform(0.0, 2 * ControllerOptions().interval_s))  # Anywhere between two looks.
        begun_s = time.monotonic()
        session.run(photo)
        first = First(warm, time.monotonic() - begun_s)
    real_run.forget_polls()
    return first


def measure(network: Classifier, rounds: int, environment: Mapping[str, str]) -> tuple[list[Start], list[First]]:
    """What is compared takes turns. Raises RunError, QueueError, RuntimeError, TimeoutError, OSError, splitnet.Error."""
    exported = network.model_file()
    models = {"as exported": exported, "prepared": prepared_model(exported)}
    photo = real_run.photo_tensors(network)[0]
    starts, firsts = [], []
    with real_run.queue_session(network, "worker-start", environment) as session:
        for number in range(rounds):
            say(f"round {number + 1} of {rounds}")
            for name, model in models.items():
                starts.append(measure_start(model, name, session, photo, "worker-start", environment))
            for warm in (0, 1):
                firsts.append(measure_first(warm, models["prepared"], session, photo, "worker-start", environment))
    return starts, firsts


def tables(starts: Sequence[Start], firsts: Sequence[First]) -> str:
    """Medians, with the least and the greatest."""
    rows = [
        [
            name,
            *(
                spread([getattr(one, field) for one in starts if one.model == name])
                for field in ("ready_s", "answer_s")
            ),
        ]
        for name in ("as exported", "prepared")
    ]
    rows.append(["S2: a machine", "", f"{_THEIR_START_S * 1000:.0f}"])
    first = text_table(
        "Start of a worker, ms: median (least - greatest)",
        ["model", "asks for requests", "first answer"],
        rows,
    )
    lone = [[str(warm), spread([one.latency_s for one in firsts if one.warm_workers == warm])] for warm in (0, 1)]
    second = text_table("A request that comes alone, ms", ["warm workers", "latency"], lone)
    return f"{first}\n\n{second}"


def headline(starts: Sequence[Start], firsts: Sequence[First]) -> str:
    """Medians, in ms."""
    values_s = {
        "exported_answer_ms": [one.answer_s for one in starts if one.model == "as exported"],
        "prepared_answer_ms": [one.answer_s for one in starts if one.model == "prepared"],
        "alone_cold_ms": [one.latency_s for one in firsts if one.warm_workers == 0],
        "alone_warm_ms": [one.latency_s for one in firsts if one.warm_workers == 1],
    }
    return " ".join(f"{name}={1000 * statistics.median(found):.0f}" for name, found in values_s.items())


def spread(values_s: Sequence[float]) -> str:
    """In milliseconds."""
    middle, least, greatest = (1000 * value for value in (statistics.median(values_s), min(values_s), max(values_s)))
    return f"{middle:.0f} ({least:.0f} - {greatest:.0f})"


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="elastic_pool.worker_start", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="mobilenet_v2", help="one of elastic_pool.classifiers (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="%(default)s")
    parser.add_argument("--out", type=Path, default=ROOT / "build/bench/worker_start.json", help="%(default)s")
    chosen = parser.parse_args(arguments)
    try:
        with LocalAws() as aws, in_environment(aws.environment):
            starts, firsts = measure(classifier(chosen.model), chosen.rounds, aws.environment)
    except (RunError, QueueError, UnknownClassifierError, splitnet.Error, OSError, RuntimeError) as error:
        print(f"worker_start: {error}", file=sys.stderr)
        return 1
    print(tables(starts, firsts))
    document = {
        "model": chosen.model,
        "starts": [asdict(one) for one in starts],
        "first_requests": [asdict(one) for one in firsts],
        "their_start_s": _THEIR_START_S,
    }
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    say(f"written: {chosen.out}")
    print(f"worker_start: {headline(starts, firsts)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
