# SPDX-License-Identifier: Apache-2.0
"""Traces of the three policies under step, ramp and burst load: real ones on this machine, or simulated ones of many machines.

    scripts/bench elastic_traces [--duration 60] [--rate 20] [--loads step,ramp,burst] [--model mobilenet_v2] [--most N]
    scripts/bench elastic_traces --simulated [--most 15] [--rate 1]

Real: a queue of moto's server, splitnet-workers, photos sent by a session over sqs:// at times drawn at random, the same
for each policy. With --most no policy may have more workers than that; without, theirs may have 15 of real ones, as they had,
and ours as many as the machine has room for. Simulated: workers that take as long to start and to work as S2's machines did (72 s; a picture about 10 s).
Writes elastic_traces.json (or simulated_traces.json), .svg and .html to the folder --out, and prints the table and a line of
headlines: the 95th percentile of the latency of each load under each policy.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import splitnet
from common import prices
from common.command_line import say
from common.environment import in_environment
from common.package_files import ROOT
from elastic_pool import plots, real_run
from elastic_pool.classifiers import UnknownClassifierError, classifier
from elastic_pool.controller import ControllerOptions, queue_pool
from elastic_pool.load_shapes import SHAPES, LoadShape
from elastic_pool.policies import LatencyTarget, Policy, WaitingMinusRunning, WaitingPerWorker
from elastic_pool.real_run import RunError
from elastic_pool.simulation import SimulatedPool, around, simulate
from elastic_pool.summaries import Run, headline, runs_table
from elastic_pool.this_machine import most_workers
from elastic_pool.work_queue import QueueError
from local_aws import LocalAws

SEED = 1
THEIR_MOST_WORKERS = 15


@dataclass(frozen=True)
class Contender:
    """A policy, and how often it looks."""

    policy: Policy
    interval_s: float


@dataclass(frozen=True)
class Setting:
    """What the policies are told, of real or of simulated workers."""

    target_s: float
    most_workers: int  #: Of theirs, whatever the machine has.
    own_most_workers: int
    stop_after_s: float
    zero_after_s: float
    waiting_per_worker: int = 5
    their_interval_s: float = 5.0  #: S2's and S4's look so often, as S4's did.
    watched_s: float = 10.0  #: Real pools, after all should have stopped.

    def contenders(self) -> list[Contender]:
        """S2's, S4's and ours."""
        ours = LatencyTarget(
            target_s=self.target_s,
            max_workers=self.own_most_workers,
            stop_after_s=self.stop_after_s,
            zero_after_s=self.zero_after_s,
        )
        return [
            Contender(WaitingMinusRunning(self.most_workers, "S2: waiting - running"), self.their_interval_s),
            Contender(
                WaitingPerWorker(self.waiting_per_worker, self.most_workers, "S4: ceil(waiting / QoS)"),
                self.their_interval_s,
            ),
            Contender(ours, 1.0),
        ]


def real_setting(most: int | None) -> Setting:
    """None: theirs may start 15 workers, ours as many as the machine has room for."""
    theirs, ours = most or THEIR_MOST_WORKERS, most or most_workers()
    return Setting(target_s=2.0, most_workers=theirs, own_most_workers=ours, stop_after_s=10.0, zero_after_s=20.0)


def simulated_setting(most: int | None) -> Setting:
    """For machines that take 72 s to boot: a minute is a target that those that run can reach."""
    most = most or THEIR_MOST_WORKERS
    return Setting(60.0, most, most, stop_after_s=180.0, zero_after_s=300.0)


SIMULATED_SERVICE_S, SIMULATED_START_S = 10.0, 72.0


def real_runs(
    loads: Sequence[LoadShape], model: str, setting: Setting, environment: Mapping[str, str]
) -> Generator[Run]:
    """Raises RunError, QueueError, RuntimeError, TimeoutError, splitnet.Error. The environment has to be that of this process too."""
    network = classifier(model)
    photos = real_run.photo_tensors(network)
    with real_run.queue_session(network, "traces", environment) as session:
        for load in loads:
            arrivals_s = load.arrivals_s(SEED)
            for contender in setting.contenders():
                say(f"{load.name}, {len(arrivals_s)} requests: {contender.policy.name}")
                options = ControllerOptions(interval_s=contender.interval_s)
                policy, arguments = contender.policy, real_run.WORKER_ARGUMENTS
                pool = queue_pool([network.model_file()], "traces", policy, environment, arguments, options)
                until_s = load.duration_s + setting.zero_after_s + setting.watched_s
                outcome = real_run.run(pool, session, photos, arrivals_s, until_s)
                yield Run(load.name, contender.policy.name, len(arrivals_s), outcome)


def simulated_runs(loads: Sequence[LoadShape], setting: Setting) -> Iterator[Run]:
    """Workers are machines here."""
    for load in loads:
        arrivals_s = load.arrivals_s(SEED)
        for contender in setting.contenders():
            pool = SimulatedPool(
                service_s=around(SIMULATED_SERVICE_S),
                start_s=around(SIMULATED_START_S),
                interval_s=contender.interval_s,
                expected_service_s=SIMULATED_SERVICE_S,
                expected_start_s=SIMULATED_START_S,
            )
            until_s = load.duration_s + 2 * setting.zero_after_s
            outcome = simulate(contender.policy, arrivals_s, pool, until_s)
            yield Run(load.name, contender.policy.name, len(arrivals_s), outcome)


def write(runs: Sequence[Run], chosen: argparse.Namespace, setting: Setting, stem: str, title: str) -> list[Path]:
    """The JSON with everything, and the pictures."""
    folder: Path = chosen.out
    folder.mkdir(parents=True, exist_ok=True)
    document = {
        "simulated": chosen.simulated,
        "machine": "simulated" if chosen.simulated else f"{platform.machine()}, {os.cpu_count()} processors",
        "model": "" if chosen.simulated else chosen.model,
        "duration_s": chosen.duration,
        "most_requests_per_s": chosen.rate,
        "setting": asdict(setting),
        "prices_as_of": prices.AS_OF,
        "runs": [asdict(run) for run in runs],
    }
    paths = [folder / f"{stem}{ending}" for ending in (".json", ".svg", ".html")]
    paths[0].write_text(json.dumps(document) + "\n", encoding="utf-8")
    chart = plots.plot(runs, title)
    for path in paths[1:]:
        plots.write(chart, path)
    return paths


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="elastic_pool.traces", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--simulated", action="store_true", help="many machines' worth of workers, simulated")
    parser.add_argument("--duration", type=float, metavar="S", help="of a load (60; simulated 3600)")
    parser.add_argument("--rate", type=float, metavar="N", help="most requests a second (20; simulated 1)")
    parser.add_argument("--most", type=int, metavar="N", help="workers at once, whatever the policy")
    parser.add_argument("--loads", default=",".join(SHAPES), help="%(default)s")
    parser.add_argument("--model", default="mobilenet_v2", help="one of elastic_pool.classifiers (%(default)s)")
    parser.add_argument("--out", type=Path, default=ROOT / "build/bench", help="%(default)s")
    chosen = parser.parse_args(arguments)
    chosen.duration = chosen.duration or (3600.0 if chosen.simulated else 60.0)
    chosen.rate = chosen.rate or (1.0 if chosen.simulated else 20.0)
    if chosen.most is not None and chosen.most < 1:
        parser.error(f"--most: found {chosen.most}, expected at least 1")
    if unknown := set(chosen.loads.split(",")) - set(SHAPES):
        parser.error(f"--loads: found {', '.join(sorted(unknown))}, expected of {', '.join(SHAPES)}")
    loads = [SHAPES[name](chosen.duration, chosen.rate) for name in chosen.loads.split(",")]
    try:
        if chosen.simulated:
            setting, stem = simulated_setting(chosen.most), "simulated_traces"
            title = f"Simulated: up to {setting.most_workers} machines that take 72 s to start"
            runs = list(simulated_runs(loads, setting))
        else:
            setting, stem, title = (
                real_setting(chosen.most),
                "elastic_traces",
                f"{chosen.model}: workers of a queue on {os.cpu_count()} cores",
            )
            with LocalAws() as aws, in_environment(aws.environment):
                runs = list(real_runs(loads, chosen.model, setting, aws.environment))
    except (RunError, QueueError, UnknownClassifierError, splitnet.Error, RuntimeError, OSError) as error:
        print(f"traces: {error}", file=sys.stderr)
        return 1
    print(runs_table(title, runs, setting.target_s))
    say(f"written: {', '.join(map(str, write(runs, chosen, setting, stem, title)))}")
    print(f"{stem}: {headline(runs, setting.target_s)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
