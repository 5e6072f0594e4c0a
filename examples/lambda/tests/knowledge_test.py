# SPDX-License-Identifier: Apache-2.0
"""What the planner makes of figures that are given."""

from __future__ import annotations

import pytest
import torch

import splitnet
from local_aws import Function
from picks.knowledge import BilledBeside, FullSpeed, Knowledge, Starts, fixed_placements, here
from picks.scenarios import Link, Placement, Scenario
from picks.throttling import Quota

LINK = Link("link", 8e9, 8e9, 0.01)
SIZES = (885, 1769)
BESIDE = BilledBeside(overhead_s=0.0015, s_per_byte=0.001 / 4000)  #: A request has 4,000 bytes.
SECOND_DOLLAR = 16.6667e-6 / 1024  #: Of a megabyte.


class Chain(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x).exp().sin()


PART = splitnet.Partitioner(torch.jit.script(Chain()), torch.rand(1000))
THERE = {size: Placement("link", size, 0, "raw") for size in SIZES}


def profile(times_s: list[float]) -> splitnet.DeviceProfile:
    return splitnet.DeviceProfile(
        fingerprint=PART.fingerprint,
        machine="test",
        framework="test",
        inputs=splitnet.inputs_of(PART.layers),
        layers=[
            splitnet.LayerTime(name=layer.name, time_s=time_s)
            for layer, time_s in zip(PART.layers.layers, times_s, strict=True)
        ],
        pass_s=sum(times_s),
    )


def knowledge(load: float = 1.0) -> Knowledge:
    """60 ms at full speed, a device that has a tenth of a processor, functions with half and all of one."""
    full_speed = FullSpeed(
        device=profile([0.02, 0.02, 0.02]),
        function=profile([0.02, 0.02, 0.02]),
        way=splitnet.LinkProfile(rtt_s=0.001, up_bytes_per_s=1e9, down_bytes_per_s=1e9),
        codecs=[splitnet.CodecProfile()],
    )
    functions = {size: Function(f"tail-{size}", ["/bin/true"], memory_megabytes=size, concurrency=1) for size in SIZES}
    starts = {
        885: Starts(cold_start_s=0.8, billed_s=0.7, tail_s=0.116 * load),
        1769: Starts(cold_start_s=0.4, billed_s=0.3, tail_s=0.06 * load),
    }
    return Knowledge(PART, functions, full_speed, Quota(0.001, 0.01), starts, BESIDE, device_s=0.6)


def test_a_hot_function_is_picked_and_a_cold_one_is_not_worth_it() -> None:
    assert knowledge().pick(Scenario(LINK, 0, SIZES))[0] == THERE[1769]
    assert knowledge().pick(Scenario(LINK, 0, (885,)))[0] == THERE[885]
    assert knowledge().pick(Scenario(LINK, 1, SIZES))[0] == THERE[1769]
    assert knowledge().pick(Scenario(LINK, 1, (885,)))[0] == here(PART)


def test_a_call_costs_what_is_billed_of_computing_overhead_and_start() -> None:
    hot = knowledge().predict(Scenario(LINK, 0, SIZES), THERE[1769])
    assert hot.dollars == pytest.approx(0.2e-6 + 0.063 * 1769 * SECOND_DOLLAR), "62.5 ms"
    cold = knowledge().predict(Scenario(LINK, 1, SIZES), THERE[1769])
    assert cold.dollars == pytest.approx(0.2e-6 + 0.363 * 1769 * SECOND_DOLLAR), "362.5 ms"
    assert cold.latency_s - hot.latency_s == pytest.approx(0.4)


def test_a_limit_changes_the_pick() -> None:
    unbound, cost = knowledge().pick(Scenario(LINK, 1, SIZES))
    bound, less = knowledge().pick(Scenario(LINK, 1, SIZES).within(0.8 * cost.dollars))
    assert bound != unbound
    assert less.dollars <= 0.8 * cost.dollars


def test_loads_come_from_calls() -> None:
    assert knowledge(1.5).load_factors["1769 MB"] == pytest.approx(1.5)
    assert knowledge().load_factors["1769 MB"] == pytest.approx(1)


def test_placements_are_every_cut_in_every_function() -> None:
    found = fixed_placements(PART, [LINK], SIZES, [PART.layers.layers[0].name])
    assert found == [Placement("link", size, head, "int8") for size in SIZES for head in (0, 1)]
