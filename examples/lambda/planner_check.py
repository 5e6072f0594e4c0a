#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks the planner against measurement: cold starts, memory sizes and dollars of functions.

    planner_check.py [--quick] [--network NAME …] [--out build/bench/planner_check.json]

Each network may run on this device, in a function of one of three memory sizes, or be split between both. Everything is
measured, under local_aws: layers and codecs on the device and inside each function, the link, cold starts. From that the
planner picks for each scenario (PROBABILITIES of a cold start, one size or all on offer, a bound on latency or dollars).
Then every candidate is run as often as any other, in turns, and the pick is right when no candidate that keeps to the bound
is better by more than 5 % and more than measurements stray. Exits with 0 only if every pick is right.

- The device is this machine under a CPU quota (SLOWER), so that a function can be worth its way; memory sizes are simulated
  by CPU quota likewise. Both slow this machine's processors down, they don't make them another's.
- The link is a proxy in front of Lambda: LINK_BIT_PER_S up, four times that down, LINK_DELAY_S each way. It counts what really
  passes, base64 and headers included, and so does its profile, which comes from probes through lambda://.
- Dollars are those of common/prices.py for the durations that local_aws bills: initialisation is part of them when it is cold.
  Traffic out is left out: answers of 4 KB cost less than 1e-9 dollars.
- Cuts: where the boundary is smallest in each fifth of the layers, and whatever the planner would take of all there are.
- Load factors come from calls before those that count, as sessions learn them from their traffic.
- What a function bills beside computing, and its initialisation, are measured and stand in the price of a request: the cost
  model bills computing alone.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import torch

import splitnet
from local_aws import Function, Invocation, LocalAws
from local_aws.limits import support
from splitnet.names import cut_name

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "examples"))

from common import prices  # noqa: E402
from common.tables import text_table  # noqa: E402
from emotion.wire import Wire  # noqa: E402

MEMORY_MEGABYTES = (442, 885, 1769)  #: A quarter, half and one CPU.
OFFERS = (*((size,) for size in MEMORY_MEGABYTES), MEMORY_MEGABYTES)
PROBABILITIES = (0, 1)
LINK_BIT_PER_S = 10e6
LINK_DELAY_S = 0.01
INT8_RATIO = 0.25
TOLERANCE = 0.05
PAUSE_S = 0.05  #: Before each call: quotas fill up again, and profiles were taken after idling too.
NETWORKS = {"mobilenet_v2": (1, 3, 224, 224), "emotion": (1, 1, 64, 64)}


class CheckError(Exception):
    """The check can't be made here, or something did not go as planned; says what."""


@dataclass(frozen=True)
class Effort:
    """How much is measured."""

    subjects: tuple[tuple[str, int], ...]  #: Network and device: one millisecond of CPU time in so many.
    rounds: int
    cold_rounds: int
    passes: int  #: For each profile.
    fifths: Sequence[int]  #: Of the layers, in which a cut is tried.


FULL = Effort(
    (("mobilenet_v2", 16), ("mobilenet_v2", 64), ("emotion", 16)), rounds=7, cold_rounds=3, passes=6, fifths=range(5)
)
QUICK = Effort((("mobilenet_v2", 16),), rounds=5, cold_rounds=3, passes=3, fifths=())


@dataclass(frozen=True)
class Placement:
    """One way to run the network."""

    memory_megabytes: int | None  #: Of the function; None: device only.
    head_layers: int
    codec: str = "raw"


@dataclass
class Samples:
    """Of one placement, one of each round."""

    latency_s: list[float] = field(default_factory=list)
    dollars: list[float] = field(default_factory=list)

    def of(self, objective: splitnet.Objective) -> list[float]:
        return self.latency_s if objective == splitnet.Objective.latency else self.dollars


Measured = dict[Placement, Samples]


@dataclass(frozen=True)
class Scenario:
    """What the planner is asked."""

    cold_start_probability: int
    sizes: tuple[int, ...]  #: On offer.
    objective: splitnet.Objective
    max_latency_s: float | None = None
    max_dollars: float | None = None

    def name(self) -> str:
        bound = ""
        if self.max_latency_s is not None:
            bound = f" within {self.max_latency_s * 1e3:.0f} ms"
        if self.max_dollars is not None:
            bound = f" within {self.max_dollars * 1e6:.3f} $/million"
        sizes = "/".join(str(size) for size in self.sizes)
        what = "fastest" if self.objective == splitnet.Objective.latency else "cheapest"
        return f"P(cold) {self.cold_start_probability}, {sizes} MB: {what}{bound}"

    def offers(self, placement: Placement) -> bool:
        return placement.memory_megabytes is None or placement.memory_megabytes in self.sizes

    def keeps_to(self, samples: Samples) -> bool:
        """By the medians."""
        latency_s, dollars = statistics.median(samples.latency_s), statistics.median(samples.dollars)
        return latency_s <= (self.max_latency_s or math.inf) and (
            self.max_dollars is None or dollars <= self.max_dollars
        )


@dataclass(frozen=True)
class Verdict:
    """Of one scenario. Seconds and dollars are medians."""

    network: str
    slower: int
    scenario: str
    pick: str
    predicted_s: float
    measured_s: float
    predicted_dollars: float
    measured_dollars: float
    best: str
    regret: float  #: Of the pick, relative to the best that was measured and keeps to the bound.
    spread: float  #: Median absolute deviation of that from round to round.
    keeps_to_bound: bool

    @property
    def is_right(self) -> bool:
        return self.keeps_to_bound and self.regret <= max(TOLERANCE, self.spread)


class SlowDevice:
    """This process under a quota of one millisecond of CPU time every `slower` milliseconds, as long as `with` lasts."""

    def __init__(self, slower: int) -> None:
        found = support()
        if found.cpu is None:
            raise CheckError(f"found no cpu control group that can be written to ({found.describe()}), expected one")
        self._base, self._group = found.cpu, found.cpu / f"slow-device-{os.getpid()}"
        quota_us, period_us = 1000, 1000 * slower
        self._files = {"cpu.max": f"{quota_us} {period_us}"}
        if found.version == 1:
            self._files = {"cpu.cfs_period_us": str(period_us), "cpu.cfs_quota_us": str(quota_us)}

    def __enter__(self) -> None:
        self._group.mkdir()
        for name, text in self._files.items():
            (self._group / name).write_text(text)
        (self._group / "cgroup.procs").write_text(str(os.getpid()))

    def __exit__(self, *_: object) -> None:
        (self._base / "cgroup.procs").write_text(str(os.getpid()))
        self._group.rmdir()


class Cloud:
    """The network in a function of each size."""

    def __init__(self, aws: LocalAws, network: str) -> None:
        self._aws = aws
        self._network = network
        self._seen: dict[int, int] = dict.fromkeys(MEMORY_MEGABYTES, 0)

    @staticmethod
    def functions(network: str, prepared: Path) -> list[Function]:
        shape = "x".join(str(size) for size in NETWORKS[network])
        command = [
            *(str(ROOT / "build/release/splitnet-worker"), f"{network}={prepared}", "--input", shape),
            *("--threads", "1", "--listen", "lambda-runtime://"),
        ]
        return [
            Function(
                name=f"{network}-{size}",
                command=command,
                environment={"OMP_NUM_THREADS": "1"},
                memory_megabytes=size,
                timeout_s=120,
                concurrency=1,
            )
            for size in MEMORY_MEGABYTES
        ]

    def endpoint(self, size: int) -> str:
        return f"lambda://{self._network}-{size}"

    def recycle(self, size: int) -> None:
        self._aws.recycle(f"{self._network}-{size}")

    def new_invocations(self, size: int, at_least: int = 0) -> list[Invocation]:
        """Since the last time this was asked; waits for the record of so many."""
        give_up_s = time.monotonic() + 10
        while True:
            every = self._aws.invocations(f"{self._network}-{size}")
            if len(every) >= self._seen[size] + at_least:
                new, self._seen[size] = every[self._seen[size] :], len(every)
                return new
            if time.monotonic() > give_up_s:
                raise CheckError(
                    f"{self._network}-{size}: no record of {at_least} invocations, found {len(every) - self._seen[size]}"
                )
            time.sleep(0.01)


class Runner:
    """Runs placements, each through a session of its own that stays open."""

    def __init__(self, part: splitnet.Partitioner, cloud: Cloud, stack: ExitStack) -> None:
        self._part, self._cloud, self._stack = part, cloud, stack
        self._sessions: dict[Placement, splitnet.Session] = {}

    def run(self, placement: Placement, is_cold: bool) -> tuple[float, float, Invocation | None]:
        """Seconds, dollars, what the function says. Raises CheckError when it is not as cold or hot as it should be."""
        session = self._session(placement)
        size = placement.memory_megabytes
        if size is not None:
            if is_cold:
                self._cloud.recycle(size)
            self._cloud.new_invocations(size)
        time.sleep(PAUSE_S)
        began_s = time.perf_counter()
        session.run(*self._part.example_inputs)
        took_s = time.perf_counter() - began_s
        if size is None:
            return took_s, 0.0, None
        calls = self._cloud.new_invocations(size, at_least=1)
        if len(calls) != 1 or calls[0].is_cold != is_cold or calls[0].error:
            raise CheckError(f"{placement}: invocations are {calls}, expected one, {'cold' if is_cold else 'hot'}")
        return took_s, prices.function_dollars(calls[0].billed_s, size), calls[0]

    def _session(self, placement: Placement) -> splitnet.Session:
        if placement not in self._sessions:
            if placement.memory_megabytes is None:
                session = splitnet.Session(self._part, threads=1)
            else:
                cut = (
                    splitnet.Cut.after_index(placement.head_layers - 1)
                    if placement.head_layers
                    else splitnet.Cut.at_input()
                )
                session = splitnet.Session(
                    self._part,
                    worker=self._cloud.endpoint(placement.memory_megabytes),
                    cut=cut,
                    codec=placement.codec,
                    threads=1,
                    finish_on_device=False,
                )
            self._sessions[placement] = self._stack.enter_context(session)
            session.run(*self._part.example_inputs)
        return self._sessions[placement]

    def run_once(self, placement: Placement) -> None:
        """Whatever it finds; afterwards it is hot."""
        self._session(placement).run(*self._part.example_inputs)

    def whole_s(self, placements: Sequence[Placement], rounds: int) -> dict[int | None, float]:
        """What the whole network takes on the device (None) and in each function while sessions for all are open: caches are
        shared. Medians of calls that are not judged.
        """
        for placement in placements:
            self._session(placement)
        here = next(one for one in placements if one.memory_megabytes is None)
        whole = [here, *(Placement(size, 0, "int8") for size in MEMORY_MEGABYTES)]
        found: dict[int | None, list[float]] = {one.memory_megabytes: [] for one in whole}
        for _, placement in itertools.product(range(rounds), whole):
            time.sleep(PAUSE_S)
            times = self._session(placement).run(*self._part.example_inputs).times
            found[placement.memory_megabytes].append(times.head_s if placement is here else times.tail_s)
        return {size: statistics.median(values) for size, values in found.items()}

    def measure(self, placements: Sequence[Placement], is_cold: bool, rounds: int) -> Measured:
        """In turns, so that whatever disturbs the machine disturbs all of them."""
        measured = {placement: Samples() for placement in placements}
        for placement in placements:
            self.run_once(placement)
        for _ in range(rounds):
            for placement, samples in measured.items():
                took_s, dollars, _call = self.run(placement, is_cold and placement.memory_megabytes is not None)
                samples.latency_s.append(took_s)
                samples.dollars.append(dollars)
        return measured


@dataclass(frozen=True)
class ColdStart:
    """What a call of a cold function takes more than one of a hot one."""

    latency_s: float
    billed_s: float
    billed_hot_s: float  #: What a hot one bills.


def measure_cold_start(runner: Runner, placement: Placement, rounds: int) -> ColdStart:
    runner.run_once(placement)
    calls: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
    for _, is_cold in itertools.product(range(rounds), (True, False)):
        took_s, _, call = runner.run(placement, is_cold)
        assert call is not None
        calls[is_cold].append((took_s, call.init_s + call.duration_s))
    (cold_s, cold_billed_s), (hot_s, hot_billed_s) = (
        [statistics.median(values) for values in zip(*calls[is_cold], strict=True)] for is_cold in (True, False)
    )
    return ColdStart(max(0.0, cold_s - hot_s), max(0.0, cold_billed_s - hot_billed_s), hot_billed_s)


class Planning:
    """All that is known of the device, the functions and the links to them, and the planner's picks."""

    def __init__(self, part: splitnet.Partitioner, cloud: Cloud, passes: int) -> None:
        """Measures them."""
        self._part = part
        one_thread = splitnet.ProfileOptions(
            stage=splitnet.StageOptions(threads=1), layer_passes=passes, whole_passes=passes, stage_passes=passes
        )
        options = splitnet.TwoTierOptions(
            codecs=[splitnet.CodecProfile(), splitnet.CodecProfile(name="int8", ratio=INT8_RATIO)],
            device_options=one_thread,
        )
        self._tiers: list[splitnet.Tier] = []
        self._links: list[splitnet.LinkProfile | None] = []
        for size in MEMORY_MEGABYTES:
            with splitnet.default_registry().connect(cloud.endpoint(size)) as connection:
                problem = splitnet.profile_two_tiers(part, connection, options)
            device, function = problem.tiers
            options = options.replace(device=device)
            self._tiers = self._tiers or [device]
            self._tiers.append(function.replace(name=f"{size} MB"))
            self._links.append(problem.links[0][0])
        self._codecs = options.codecs
        self._cold_starts: dict[int, ColdStart] = {}

    def learn(self, whole_s: dict[int | None, float]) -> None:
        """Load factors, from what the whole network takes now on the device (None) and in each function."""
        for index, size in enumerate((None, *MEMORY_MEGABYTES)):
            tier = self._tiers[index]
            self._tiers[index] = tier.replace(load_factor=whole_s[size] / _whole_s(tier.profile))

    def add_cold_start(self, size: int, start: ColdStart) -> None:
        self._cold_starts[size] = start

    def pick(self, scenario: Scenario, allowed: Sequence[Placement] | None = None) -> tuple[Placement, splitnet.Cost]:
        """Of those placements, or of all that the network may be cut into. Raises CheckError: nothing keeps to the bounds."""
        heads = None if allowed is None else {one.head_layers for one in allowed}

        def is_legal(cuts: Sequence[Sequence[int]]) -> bool:
            return (heads is None or all(len(cut) in heads for cut in cuts)) and self._part.is_legal(cuts)

        constraints = splitnet.Constraints(max_latency_s=scenario.max_latency_s, max_dollars=scenario.max_dollars)
        plan = splitnet.plan_tiers(self._problem(scenario), scenario.objective, constraints, is_legal)
        if plan.chosen is None:
            raise CheckError(f"{scenario.name()}: {plan.infeasible}")
        return self._placement(plan.chosen.assignment, scenario.sizes), plan.chosen.cost

    def _problem(self, scenario: Scenario) -> splitnet.PlanningProblem:
        tiers, links = [self._tiers[0]], []
        for size, tier, link in zip(MEMORY_MEGABYTES, self._tiers[1:], self._links, strict=True):
            if size in scenario.sizes:
                tiers.append(self._function(scenario.cold_start_probability, size, tier))
                links.append(link)
        apart: list[list[splitnet.LinkProfile | None]] = [[None] * left for left in range(len(links) - 1, 0, -1)]
        return splitnet.PlanningProblem(
            graph=self._part.layers, tiers=tiers, links=[links, *apart], codecs=self._codecs
        )

    def _function(self, probability: int, size: int, tier: splitnet.Tier) -> splitnet.Tier:
        """What it bills beside computing is a constant, so it stands in the price of a request."""
        price = prices.planner_price(size).replace(egress_dollar_per_byte=0)
        start = self._cold_starts[size]
        more_s = max(0.0, start.billed_hot_s - tier.load_factor * _whole_s(tier.profile)) + probability * start.billed_s
        more = more_s * price.memory_gigabyte * price.gigabyte_second_dollar
        return tier.replace(
            memory_bytes=size * 2**20,
            price=price.replace(request_dollar=price.request_dollar + more),
            cold_start_probability=probability,
            cold_start_s=start.latency_s,
        )

    def _placement(self, assignment: splitnet.Assignment, sizes: Sequence[int]) -> Placement:
        if assignment.tiers == [0]:
            return Placement(None, len(self._part.layers.layers))
        return Placement(sizes[assignment.tiers[1] - 1], len(assignment.heads[0]), assignment.codecs[0])


def _whole_s(profile: splitnet.DeviceProfile) -> float:
    """Of the network in one stage, as the cost model has it with a load factor of 1."""
    return profile.stage_overhead_s + sum(layer.time_s for layer in profile.layers)


def candidates(part: splitnet.Partitioner, planning: Planning, fifths: Sequence[int]) -> list[Placement]:
    """Device only; in every size the whole model raw and int8, some cuts int8, and what the planner would take."""
    layers = len(part.layers.layers)
    legal = [cut for cut in part.cuts() if not cut.refusal]
    ways = {(0, "raw"), (0, "int8")}
    for fifth in fifths:
        within = [cut for cut in legal if fifth * layers <= 5 * cut.index < (fifth + 1) * layers]
        if within:
            ways.add((min(within, key=lambda cut: cut.boundary_bytes).index + 1, "int8"))
    for probability, sizes in itertools.product(PROBABILITIES, OFFERS):
        pick, _ = planning.pick(Scenario(probability, sizes, splitnet.Objective.latency))
        if pick.memory_megabytes is not None:
            ways.add((pick.head_layers, pick.codec))
    in_cloud = [Placement(size, *way) for size, way in itertools.product(MEMORY_MEGABYTES, sorted(ways))]
    return [Placement(None, layers), *in_cloud]


def scenarios(probability: int, measured: Measured) -> Iterator[Scenario]:
    """Bounds lie in the widest gap between the fastest placements of each size, so that it is clear which keep to them."""
    latency, dollars = splitnet.Objective.latency, splitnet.Objective.dollars
    for sizes in OFFERS:
        yield Scenario(probability, sizes, latency)
    leaders = [
        min(
            (samples for placement, samples in measured.items() if placement.memory_megabytes == size),
            key=lambda samples: statistics.median(samples.latency_s),
        )
        for size in (None, *MEMORY_MEGABYTES)
    ]
    here_s = statistics.median(leaders[0].latency_s)
    seconds = [statistics.median(one.latency_s) for one in leaders]
    in_time = [one for one in seconds if one <= here_s]
    bound_s = widest_gap(in_time if len(in_time) > 1 else [here_s, 2 * here_s])
    yield Scenario(probability, MEMORY_MEGABYTES, dollars, max_latency_s=bound_s)
    bound = widest_gap([statistics.median(one.dollars) for one in leaders[1:]])
    yield Scenario(probability, MEMORY_MEGABYTES, latency, max_dollars=bound)
    yield Scenario(probability, MEMORY_MEGABYTES, latency, max_dollars=prices.FUNCTION_REQUEST / 2)


def widest_gap(values: Sequence[float]) -> float:
    """The geometric mean of the two neighbours that are furthest apart."""
    low, high = max(itertools.pairwise(sorted(values)), key=lambda pair: pair[1] / pair[0])
    return math.sqrt(low * high)


def judge(
    network: str, slower: int, scenario: Scenario, planning: Planning, measured: Measured, part: splitnet.Partitioner
) -> Verdict:
    """Runs the planner on the scenario, and compares its pick with every candidate."""
    pick, cost = planning.pick(scenario, list(measured))
    if pick not in measured:
        raise CheckError(f"{scenario.name()}: the pick is {described(part, pick)}, which was not measured")
    offered = {placement: samples for placement, samples in measured.items() if scenario.offers(placement)}
    kept = [placement for placement, samples in offered.items() if scenario.keeps_to(samples)]
    if not kept:
        raise CheckError(f"{scenario.name()}: nothing that was measured keeps to it")

    def middle(placement: Placement) -> float:
        return statistics.median(offered[placement].of(scenario.objective))

    best = min(kept, key=middle)
    regret, spread = regret_of(*(offered[placement].of(scenario.objective) for placement in (pick, best)))
    return Verdict(
        network=network,
        slower=slower,
        scenario=scenario.name(),
        pick=described(part, pick),
        predicted_s=cost.latency_s,
        measured_s=statistics.median(offered[pick].latency_s),
        predicted_dollars=cost.dollars,
        measured_dollars=statistics.median(offered[pick].dollars),
        best=described(part, best),
        regret=regret,
        spread=spread,
        keeps_to_bound=pick in kept,
    )


def regret_of(pick: Sequence[float], best: Sequence[float]) -> tuple[float, float]:
    """Relative to the best, of medians; and the median absolute deviation of it from round to round."""
    middle = statistics.median(best)
    if middle == 0:  # Device only costs nothing.
        return (0.0 if statistics.median(pick) == 0 else math.inf), 0.0
    by_round = [(a - b) / middle for a, b in zip(pick, best, strict=True)]
    centre = statistics.median(by_round)
    spread = statistics.median(abs(value - centre) for value in by_round)
    return statistics.median(pick) / middle - 1, spread


def described(part: splitnet.Partitioner, placement: Placement) -> str:
    cut = cut_name(part.layers, range(placement.head_layers))
    if placement.memory_megabytes is None:
        return cut
    return f"{placement.memory_megabytes} MB, {cut}, {placement.codec}"


def carry(target: str, pipe: Connection) -> None:
    """In a process of its own, which is not as slow as the device: the link, until the pipe closes."""
    link = Wire(
        target,
        up_bytes_per_s=LINK_BIT_PER_S / 8,
        down_bytes_per_s=4 * LINK_BIT_PER_S / 8,
        delay_s=LINK_DELAY_S,
    )
    with link:
        pipe.send(link.address)
        with suppress(EOFError):
            pipe.recv()


@contextmanager
def link_to(target: str) -> Iterator[str]:
    """Its address on this side."""
    near, far = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=carry, args=(target, far))
    process.start()
    far.close()
    try:
        yield near.recv()
    finally:
        near.close()
        process.join()


@contextmanager
def network_in_cloud(network: str) -> Iterator[tuple[splitnet.Partitioner, Cloud]]:
    """With the environment that reaches it."""
    torch.manual_seed(1)
    model = ROOT / f"build/models/{network}.pt"
    worker = ROOT / "build/release/splitnet-worker"
    for needed in (model, worker):
        if not needed.exists():
            raise CheckError(f"{needed} is missing; scripts/demo makes it")
    part = splitnet.Partitioner(str(model), [torch.rand(NETWORKS[network])])
    saved = dict(os.environ)
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / f"{network}.prepared"
        subprocess.run([worker, model, "--prepare", prepared], check=True, stderr=subprocess.DEVNULL)
        with LocalAws(functions=Cloud.functions(network, prepared)) as aws:
            if not aws.simulates_memory:
                raise CheckError(f"this machine can't simulate memory sizes: {aws.limits}")
            with link_to(aws.environment["AWS_ENDPOINT_URL_LAMBDA"].removeprefix("http://")) as address:
                os.environ.update(aws.environment, AWS_ENDPOINT_URL_LAMBDA=f"http://{address}")
                try:
                    yield part, Cloud(aws, network)
                finally:
                    os.environ.clear()
                    os.environ.update(saved)


@dataclass
class Checked:
    """One network on one device."""

    network: str
    slower: int
    cold_starts: dict[int, ColdStart]
    measured: list[dict[str, object]]
    verdicts: list[Verdict]


def check(network: str, slower: int, effort: Effort, say: Callable[[str], None]) -> Checked:
    with network_in_cloud(network) as (part, cloud), SlowDevice(slower), ExitStack() as stack:
        say(f"{network}, device {slower} times slower: measuring layers, codecs, links")
        planning = Planning(part, cloud, effort.passes)
        runner = Runner(part, cloud, stack)
        say("cold starts")
        starts = {}
        for size in MEMORY_MEGABYTES:
            at_input = Placement(size, 0, "int8")
            starts[size] = measure_cold_start(runner, at_input, effort.cold_rounds)
            planning.add_cold_start(size, starts[size])
        every = candidates(part, planning, effort.fifths)
        planning.learn(runner.whole_s(every, effort.passes))
        verdicts, rows = [], []
        for probability in PROBABILITIES:
            rounds = effort.cold_rounds if probability else effort.rounds
            say(f"{len(every)} candidates, {'cold' if probability else 'hot'}, {rounds} rounds")
            measured = runner.measure(every, bool(probability), rounds)
            rows += [{**asdict(way), "is_cold": bool(probability), **asdict(one)} for way, one in measured.items()]
            for scenario in scenarios(probability, measured):
                verdicts.append(judge(network, slower, scenario, planning, measured, part))
        return Checked(network, slower, starts, rows, verdicts)


def table(verdicts: Sequence[Verdict]) -> str:
    columns = ["scenario", "pick", "ms", "predicted", "$/million", "predicted", "best measured", "regret", "spread", ""]
    rows = [
        [
            *(one.scenario, one.pick, f"{one.measured_s * 1e3:.0f}", f"{one.predicted_s * 1e3:.0f}"),
            *(f"{one.measured_dollars * 1e6:.2f}", f"{one.predicted_dollars * 1e6:.2f}"),
            "the pick" if one.best == one.pick else one.best,
            *(f"{one.regret:.1%}", f"{one.spread:.1%}"),
            "right" if one.is_right else "WRONG" if one.keeps_to_bound else "BREAKS THE BOUND",
        ]
        for one in verdicts
    ]
    first = verdicts[0]
    return text_table(f"{first.network}, device {first.slower} times slower", columns, rows)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one network, few candidates and rounds")
    parser.add_argument("--network", action="append", choices=NETWORKS, help="only this one")
    parser.add_argument("--out", type=Path, default=ROOT / "build/bench/planner_check.json")
    return parser.parse_args()


def main() -> int:
    arguments = parse_arguments()
    effort = QUICK if arguments.quick else FULL
    checked = []
    try:
        for network, slower in effort.subjects:
            if network not in (arguments.network or NETWORKS):
                continue
            checked.append(check(network, slower, effort, lambda text: print(text, file=sys.stderr, flush=True)))
            print(table(checked[-1].verdicts), flush=True)
    except CheckError as error:
        print(f"planner_check.py: {error}", file=sys.stderr)
        return 1
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "link": {"up_bit_per_s": LINK_BIT_PER_S, "down_bit_per_s": 4 * LINK_BIT_PER_S, "delay_s": LINK_DELAY_S},
        "prices": {"region": prices.REGION, "as_of": prices.AS_OF, "source": prices.SOURCES[0]},
        "checked": [asdict(one) for one in checked],
    }
    arguments.out.write_text(json.dumps(document, indent=1) + "\n")
    wrong = [verdict for one in checked for verdict in one.verdicts if not verdict.is_right]
    total = sum(len(one.verdicts) for one in checked)
    print(f"planner_check: picks={total} right={total - len(wrong)}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
