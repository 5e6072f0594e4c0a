#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks the planner against measurement: cold starts, memory sizes and dollars of functions.

    scripts/bench lambda_planner [--quick] [--out FILE]

Four pictures at once go through MobileNetV2 on a slow device, in a function of AWS Lambda of one of three memory sizes, or split
between both. The planner picks; then its picks and others are run under local_aws (AWS's own runtime emulator). Exits with 0
only if no pick was wrong. How that is decided was settled before the run whose figures docs/lambda.md gives:

What is simulated. The device is a thread of this process with a quota of 1 ms of processor time in every 16. Memory sizes are
quotas as well, those of local_aws: 442, 885 and 1,769 MB are a quarter, half and one processor. Links are those of LINKS, in front of `lambda://` by `shaped://`; rates and delays are
fixed so that by the layers' times each of the three answers (device only, a split, worker only) is the fastest somewhere by a
wide margin.

What the planner is told. Layers and codecs of device and function, profiled at full speed (the fastest of three) and scaled by
picks/throttling.py; the way to a function as probed, and the link in front of it as asked for; of each function, from
calls that are not judged: what a cold call takes and bills more than a hot one, and the load factor (of the device too); of
the largest what is billed beside decoding and computing, for each call and each byte. Prices are those of common/prices.py. It may cut behind any layer.

What is asked. Every link, cold starts with probability 0 and 1, each memory size by itself and all on offer: the fastest.
Where that costs dollars and all sizes are on offer, once more within 1.25 and within 0.8 times the dollars that were predicted.

What is measured. Device only; over every link in every function: worker only, and behind each of CUTS, and whatever the planner
picks anywhere. Hot ones first, then cold ones: of CUTS then only the first. Each once a round, rounds in an order drawn
anew. A cold call is one that the emulator reports with an initialisation, the function's processes having been
ended before; anything else ends the check. Dollars are those of the billed duration that the emulator's log gives.

What is right. Medians over the rounds count. A pick is compared with the fastest that is on offer and costs no more than the
limit less 5 %, and is
- OVER LIMIT, when it costs more than the limit and 5 %;
- undecided, when several could be picked, and none is slower than the fastest by more than 5 %: counted by itself;
- right, when it is no more than 5 % slower than the fastest;
- within spread, when it is slower by no more than that difference strays from round to round (its median absolute deviation):
  counted by itself;
- WRONG otherwise.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

import splitnet
from splitnet.names import cut_name

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "examples"))

from common import prices  # noqa: E402
from common.tables import text_table  # noqa: E402
from picks.cloud import Cloud, Runner  # noqa: E402
from picks.errors import CheckError  # noqa: E402
from picks.knowledge import (  # noqa: E402
    Knowledge,
    fixed_placements,
    here,
    measure_billed_beside,
    measure_starts,
    profile_at_full_speed,
)
from picks.scenarios import Link, Placement, Scenario, free_scenarios, limits_around  # noqa: E402
from picks.slow_device import SlowDevice  # noqa: E402
from picks.throttling import Quota  # noqa: E402
from picks.verdicts import Measured, Outcome, Samples, Verdict, judge  # noqa: E402

MODEL = ROOT / "build/models/mobilenet_v2.pt"
SHAPE = (4, 3, 224, 224)
DEVICE = Quota(0.001, 0.016)
SIZES = (442, 885, 1769)
LINKS = (
    Link("satellite", 4e6, 16e6, 0.3),
    Link("mobile", 6e6, 24e6, 0.01),
    Link("fibre", 100e6, 400e6, 0.005),
)
CUTS = ("features.4", "features.7", "features.14")


@dataclass(frozen=True)
class Effort:
    """How much is measured."""

    links: Sequence[Link]
    cuts: Sequence[str]
    start_rounds: int
    hot_rounds: int
    cold_rounds: int


FULL = Effort(LINKS, CUTS, start_rounds=5, hot_rounds=7, cold_rounds=5)
QUICK = Effort(LINKS[1:], CUTS[:1], start_rounds=3, hot_rounds=3, cold_rounds=2)


@dataclass(frozen=True)
class Judged:
    """A pick, what was predicted of it, and what came of it."""

    scenario: Scenario
    pick: Placement
    predicted: splitnet.Cost
    verdict: Verdict


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def asked(knowledge: Knowledge, effort: Effort) -> Iterator[tuple[Scenario, Placement, splitnet.Cost]]:
    """Every scenario with the planner's pick."""
    for scenario in free_scenarios(effort.links, SIZES):
        pick, cost = knowledge.pick(scenario)
        yield scenario, pick, cost
        for limit in limits_around(cost.dollars) if scenario.sizes == SIZES else []:
            within = scenario.within(limit)
            yield within, *knowledge.pick(within)


def to_measure(
    probability: int, part: splitnet.Partitioner, effort: Effort, picks: Sequence[tuple[Scenario, Placement]]
) -> list[Placement]:
    cuts = effort.cuts[:1] if probability else effort.cuts
    picked = [pick for scenario, pick in picks if scenario.cold_start_probability == probability]
    return list(dict.fromkeys([here(part), *fixed_placements(part, effort.links, SIZES, cuts), *picked]))


@dataclass(frozen=True)
class Checked:
    """Everything that came out."""

    part: splitnet.Partitioner
    links: Sequence[Link]
    load_factors: dict[str, float]
    measured: dict[int, Measured]  #: By probability of a cold start.
    predicted: dict[int, dict[Placement, splitnet.Cost]]
    judged: list[Judged]


def check(effort: Effort) -> Checked:
    torch.manual_seed(1)
    part = splitnet.Partitioner(str(MODEL), [torch.rand(SHAPE)])
    device = SlowDevice(part, DEVICE)
    with Cloud.of(MODEL, SHAPE, SIZES) as cloud, ExitStack() as stack:
        say("layers, codecs and the way to a function, at full speed")
        full_speed = profile_at_full_speed(part, cloud)
        runner = Runner(part, cloud, effort.links, stack)
        say("cold and hot calls of each function, and calls of the device, which are not judged")
        whole = {size: Placement(effort.links[-1].name, size, 0, "int8") for size in SIZES}
        starts = {size: measure_starts(runner, whole[size], effort.start_rounds) for size in SIZES}
        late = fixed_placements(part, effort.links[-1:], SIZES[-1:], CUTS[-1:])[-1]
        beside = measure_billed_beside(runner, (whole[SIZES[-1]], late), effort.start_rounds)
        with device:
            calls = [runner.call(here(part), is_cold=False) for _ in range(1 + effort.start_rounds)][1:]
            device_s = statistics.median(call.times.head_s for call in calls)
            knowledge = Knowledge(part, cloud.functions, full_speed, DEVICE, starts, beside, device_s)
            picks = list(asked(knowledge, effort))
            measured: dict[int, Measured] = {}
            for probability, rounds in ((0, effort.hot_rounds), (1, effort.cold_rounds)):
                placements = to_measure(probability, part, effort, [(one, pick) for one, pick, _ in picks])
                say(f"{len(placements)} placements, {'cold' if probability else 'hot'}, {rounds} rounds")
                measured[probability] = runner.measure(placements, bool(probability), rounds)
            if device.throttled_periods() == 0:
                raise CheckError("the device was never out of its quota, so it was not slowed")
    links = {link.name: link for link in effort.links}
    predicted = {
        probability: {
            placement: knowledge.predict(
                Scenario(links.get(placement.link, effort.links[0]), probability, SIZES), placement
            )
            for placement in placements
        }
        for probability, placements in measured.items()
    }
    judged = [
        Judged(scenario, pick, cost, judge(scenario, pick, measured[scenario.cold_start_probability]))
        for scenario, pick, cost in picks
    ]
    return Checked(part, effort.links, knowledge.load_factors, measured, predicted, judged)


def prediction_errors(checked: Checked) -> tuple[float, float]:
    """Of latency and of dollars, over everything that was measured: medians of their sizes, relative to what was measured."""
    latency, dollars = [], []
    for probability, placements in checked.measured.items():
        for placement, samples in placements.items():
            cost = checked.predicted[probability][placement]
            latency.append(abs(cost.latency_s / samples.middle_s - 1))
            if placement.is_remote:
                dollars.append(abs(cost.dollars / samples.middle_dollars - 1))
    return statistics.median(latency), statistics.median(dollars)


def described(part: splitnet.Partitioner, placement: Placement) -> str:
    cut = cut_name(part.layers, range(placement.head_layers))
    return f"{placement.memory_megabytes} MB, {cut}, {placement.codec}" if placement.is_remote else cut


def of_pick(checked: Checked, judged: Judged) -> Samples:
    return checked.measured[judged.scenario.cold_start_probability][judged.pick]


def table(checked: Checked) -> str:
    columns = ["asked", "pick", "ms", "predicted", "$/million", "predicted", "fastest", "regret", "spread", ""]
    rows = []
    for one in checked.judged:
        samples = of_pick(checked, one)
        rows.append(
            [
                *(one.scenario.name(), described(checked.part, one.pick)),
                *(f"{samples.middle_s * 1e3:.0f}", f"{one.predicted.latency_s * 1e3:.0f}"),
                *(f"{samples.middle_dollars * 1e6:.2f}", f"{one.predicted.dollars * 1e6:.2f}"),
                "the pick" if one.verdict.best == one.pick else described(checked.part, one.verdict.best),
                *(f"{one.verdict.regret:.1%}", f"{one.verdict.spread:.1%}", one.verdict.outcome.value),
            ]
        )
    return text_table("Picks of the planner, and what was measured", columns, rows)


def kind_of(placement: Placement) -> str:
    if not placement.is_remote:
        return "device_only"
    return "split" if placement.head_layers else "worker_only"


def summary(judged: Sequence[Judged]) -> str:
    """The headline: outcomes, and what was picked."""
    outcomes = Counter(one.verdict.outcome for one in judged)
    kinds = Counter(kind_of(one.pick) for one in judged)
    counts = [f"{outcome.name}={outcomes[outcome]}" for outcome in Outcome]
    counts += [f"{kind}={kinds[kind]}" for kind in ("device_only", "split", "worker_only")]
    return " ".join(["lambda_planner:", f"asked={len(judged)}", *counts])


def document(checked: Checked) -> dict[str, object]:
    return {
        "shape": SHAPE,
        "device": asdict(DEVICE),
        "links": [asdict(link) for link in checked.links],
        "prices": {"region": prices.REGION, "as_of": prices.AS_OF, "source": prices.SOURCES[0]},
        "load_factors": checked.load_factors,
        "measured": [
            {
                **asdict(placement),
                "cut": described(checked.part, placement),
                "cold": bool(probability),
                "predicted_s": checked.predicted[probability][placement].latency_s,
                "predicted_dollars": checked.predicted[probability][placement].dollars,
                **asdict(samples),
            }
            for probability, placements in checked.measured.items()
            for placement, samples in placements.items()
        ],
        "judged": [
            {
                "asked": one.scenario.name(),
                "pick": described(checked.part, one.pick),
                "measured_s": of_pick(checked, one).middle_s,
                "predicted_s": one.predicted.latency_s,
                "measured_dollars": of_pick(checked, one).middle_dollars,
                "predicted_dollars": one.predicted.dollars,
                "fastest": described(checked.part, one.verdict.best),
                "regret": one.verdict.regret,
                "spread": one.verdict.spread,
                "outcome": one.verdict.outcome.value,
            }
            for one in checked.judged
        ],
    }


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two links, one cut, few rounds")
    parser.add_argument("--out", type=Path, default=ROOT / "build/bench/lambda_planner.json")
    return parser.parse_args()


def main() -> int:
    arguments = parse_arguments()
    began_s = time.monotonic()
    try:
        checked = check(QUICK if arguments.quick else FULL)
    except (CheckError, splitnet.Error, FileNotFoundError, RuntimeError) as error:
        print(f"planner_check.py: {error}", file=sys.stderr)
        return 1
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(document(checked), indent=1) + "\n")
    print(table(checked))
    print("load factors: " + ", ".join(f"{name} {factor:.2f}" for name, factor in checked.load_factors.items()))
    latency, dollars = prediction_errors(checked)
    print(f"predictions are off by {latency:.1%} (latency) and {dollars:.1%} (dollars), medians")
    say(f"took {time.monotonic() - began_s:.0f} s")
    print(summary(checked.judged))
    return 1 if any(one.verdict.outcome.is_failure for one in checked.judged) else 0


if __name__ == "__main__":
    sys.exit(main())
