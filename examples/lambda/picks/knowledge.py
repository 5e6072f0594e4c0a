# SPDX-License-Identifier: Apache-2.0
"""What the planner is told of device, functions and links, and what it picks."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import splitnet
from common import prices
from local_aws import Function
from picks.cloud import Call, Cloud, Runner
from picks.errors import CheckError
from picks.scenarios import Link, Placement, Scenario
from picks.throttling import Quota, head_profile, tail_profile, whole_s

INT8_RATIO = 0.25


@dataclass(frozen=True)
class FullSpeed:
    """Without quotas."""

    device: splitnet.DeviceProfile
    function: splitnet.DeviceProfile
    way: splitnet.LinkProfile  #: To a function, without a link in front.
    codecs: Sequence[splitnet.CodecProfile]


_PROFILES = 3


def profile_at_full_speed(part: splitnet.Partitioner, cloud: Cloud) -> FullSpeed:
    """Before the device is slowed. Of several profiles the fastest counts: what else goes on in the machine only adds."""
    options = splitnet.TwoTierOptions(
        codecs=[splitnet.CodecProfile(), splitnet.CodecProfile(name="int8", ratio=INT8_RATIO)],
        device_options=splitnet.ProfileOptions(stage=splitnet.StageOptions(threads=1)),
    )
    devices, functions, ways = [], [], []
    for _ in range(_PROFILES):
        cloud.recycle(cloud.profiled)  # A worker profiles itself once.
        with splitnet.default_registry().connect(f"lambda://{cloud.profiled.name}") as connection:
            problem = splitnet.profile_two_tiers(part, connection, options)
        devices.append(problem.tiers[0].profile)
        functions.append(problem.tiers[1].profile)
        ways += [way for way in problem.links[0] if way is not None]
    return FullSpeed(
        device=min(devices, key=lambda profile: profile.pass_s),
        function=min(functions, key=lambda profile: profile.pass_s),
        way=min(ways, key=lambda way: way.rtt_s + way.overhead_s),
        codecs=options.codecs,
    )


@dataclass(frozen=True)
class Starts:
    """Of one function: calls of the whole network in it, hot and cold in turns."""

    cold_start_s: float  #: What a cold call takes longer.
    billed_s: float  #: What it bills more.
    tail_s: float  #: What a hot one computes.


def measure_starts(runner: Runner, placement: Placement, rounds: int) -> Starts:
    hot, cold = [], []
    for _ in range(rounds):
        cold.append(runner.call(placement, is_cold=True))
        hot.append(runner.call(placement, is_cold=False))
    return starts_of(hot, cold)


def starts_of(hot: Sequence[Call], cold: Sequence[Call]) -> Starts:
    return Starts(
        cold_start_s=max(0.0, _median(one.latency_s for one in cold) - _median(one.latency_s for one in hot)),
        billed_s=max(0.0, _median(map(_to_bill_s, cold)) - _median(map(_to_bill_s, hot))),
        tail_s=_median(one.times.tail_s for one in hot),
    )


@dataclass(frozen=True)
class BilledBeside:
    """What a hot call bills beside decoding and computing: the same for every call, and for each byte of its request."""

    overhead_s: float
    s_per_byte: float


def measure_billed_beside(runner: Runner, placements: Sequence[Placement], rounds: int) -> BilledBeside:
    """`placements`: two, of a function that has a whole processor, which send much and little."""
    calls = [[runner.call(placement, is_cold=False) for placement in placements] for _ in range(1 + rounds)][1:]
    return billed_beside(*zip(*calls, strict=True))


def billed_beside(large: Sequence[Call], small: Sequence[Call]) -> BilledBeside:
    """The straight line through the two medians."""

    def middle(calls: Sequence[Call]) -> tuple[float, float]:
        rest_s = (_to_bill_s(one) - one.times.decode_s - one.times.tail_s for one in calls)
        return _median(one.times.boundary_bytes for one in calls), _median(rest_s)

    (most_bytes, most_s), (least_bytes, least_s) = middle(large), middle(small)
    s_per_byte = max(0.0, (most_s - least_s) / (most_bytes - least_bytes))
    return BilledBeside(max(0.0, least_s - s_per_byte * least_bytes), s_per_byte)


def _to_bill_s(call: Call) -> float:
    """Before it is rounded up."""
    assert call.invocation is not None
    return call.invocation.init_s + call.invocation.duration_s


def _median(values: Iterable[float]) -> float:
    return statistics.median(values)


class Knowledge:
    """Enough for a PlanningProblem of any scenario."""

    def __init__(
        self,
        part: splitnet.Partitioner,
        functions: Mapping[int, Function],
        full_speed: FullSpeed,
        device_quota: Quota,
        starts: dict[int, Starts],
        beside: BilledBeside,
        device_s: float,
    ) -> None:
        """`device_s`: what the slowed device takes for the whole network."""
        self._part = part
        self._full_speed = full_speed
        device = head_profile(full_speed.device, device_quota)
        self._device = splitnet.Tier(name="device", profile=device, load_factor=device_s / whole_s(device))
        before_s = self._before_s(beside)
        self._functions: dict[int, splitnet.Tier] = {}
        for size, function in functions.items():
            profile = tail_profile(full_speed.function, Quota.of(function), before_s)
            self._functions[size] = splitnet.Tier(
                name=f"{size} MB",
                profile=profile,
                load_factor=starts[size].tail_s / whole_s(profile),
                memory_bytes=size * 2**20,
                # Answers are too small for what leaves AWS to count, and nothing here bills it.
                price=prices.planner_price(size).replace(
                    egress_dollar_per_byte=0, billed_overhead_s=beside.overhead_s, billed_s_per_byte=beside.s_per_byte
                ),
                cold_start_s=starts[size].cold_start_s,
                cold_start_billed_s=starts[size].billed_s,
            )

    def _before_s(self, beside: BilledBeside) -> list[float]:
        """What a function's processor works before each tail, at full speed and with the codec that sends the least."""
        full_speed, layers = self._full_speed, range(len(self._part.layers.layers))
        codec = min(full_speed.codecs, key=lambda codec: codec.ratio).name
        tiers = [splitnet.Tier(profile=full_speed.device), splitnet.Tier(profile=full_speed.function)]
        problem = splitnet.PlanningProblem(
            graph=self._part.layers, tiers=tiers, links=[[full_speed.way]], codecs=full_speed.codecs
        )
        ways = [splitnet.Assignment(tiers=[0, 1], heads=[list(layers[:head])], codecs=[codec]) for head in layers]
        hops = [splitnet.cost_of(problem, way).hops[0] for way in ways]
        return [beside.overhead_s + hop.decode_s + hop.bytes_up * beside.s_per_byte for hop in hops]

    @property
    def load_factors(self) -> dict[str, float]:
        return {tier.name: tier.load_factor for tier in (self._device, *self._functions.values())}

    def pick(self, scenario: Scenario) -> tuple[Placement, splitnet.Cost]:
        """Of all cuts that the network has. Raises CheckError: nothing keeps to the limit."""
        constraints = splitnet.Constraints(max_dollars=scenario.max_dollars)
        plan = splitnet.plan_tiers(
            self._problem(scenario), splitnet.Objective.latency, constraints, self._part.is_legal
        )
        if plan.chosen is None:
            raise CheckError(f"{scenario.name()}: {plan.infeasible}")
        return self._placement(scenario, plan.chosen.assignment), plan.chosen.cost

    def predict(self, scenario: Scenario, placement: Placement) -> splitnet.Cost:
        """Of any placement that the scenario offers."""
        if not placement.is_remote:
            return splitnet.cost_of(self._problem(scenario), splitnet.Assignment())
        assignment = splitnet.Assignment(
            tiers=[0, 1 + scenario.sizes.index(placement.memory_megabytes)],
            heads=[list(range(placement.head_layers))],
            codecs=[placement.codec],
        )
        return splitnet.cost_of(self._problem(scenario), assignment)

    def _problem(self, scenario: Scenario) -> splitnet.PlanningProblem:
        link = scenario.link.profile(self._full_speed.way)
        functions = [
            self._functions[size].replace(cold_start_probability=scenario.cold_start_probability)
            for size in scenario.sizes
        ]
        apart: list[list[splitnet.LinkProfile | None]] = [[None] * left for left in range(len(functions) - 1, 0, -1)]
        return splitnet.PlanningProblem(
            graph=self._part.layers,
            tiers=[self._device, *functions],
            links=[[link] * len(functions), *apart],
            codecs=self._full_speed.codecs,
        )

    def _placement(self, scenario: Scenario, assignment: splitnet.Assignment) -> Placement:
        if assignment.tiers == [0]:
            return Placement("", 0, len(self._part.layers.layers))
        size = scenario.sizes[assignment.tiers[1] - 1]
        return Placement(scenario.link.name, size, len(assignment.heads[0]), assignment.codecs[0])


def here(part: splitnet.Partitioner) -> Placement:
    """Device only."""
    return Placement("", 0, len(part.layers.layers))


def fixed_placements(
    part: splitnet.Partitioner, links: Sequence[Link], sizes: Sequence[int], cuts: Sequence[str]
) -> list[Placement]:
    """The network in every function, whole and behind each of the cuts, over every link."""
    heads = [0, *(len(part.layers.resolve(cut)) for cut in cuts)]
    return [Placement(link.name, size, head, "int8") for link in links for size in sizes for head in heads]
