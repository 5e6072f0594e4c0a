# SPDX-License-Identifier: Apache-2.0
"""What is asked."""

from __future__ import annotations

import pytest

import splitnet
from picks.scenarios import Link, Placement, Scenario, free_scenarios, limits_around

LINK = Link("slow", 1e6, 4e6, 0.025)


def test_every_link_hot_and_cold_each_size_and_all() -> None:
    found = list(free_scenarios([LINK, Link("fast", 1e9, 1e9, 0)], (1, 2, 3)))
    assert len(found) == len(set(found)) == 2 * 2 * 4
    assert {one.sizes for one in found} == {(1,), (2,), (3,), (1, 2, 3)}
    assert {one.cold_start_probability for one in found} == {0, 1}


def test_limits_lie_on_either_side_of_what_is_predicted() -> None:
    loose, tight = limits_around(10e-6)
    assert tight < 10e-6 < loose
    assert limits_around(0) == []


def test_a_link_is_in_front_of_the_way_to_a_function() -> None:
    assert LINK.endpoint("tail") == "shaped://up=1000000bit,down=4000000bit,delay=25ms@lambda://tail"
    way = splitnet.LinkProfile(rtt_s=0.002, overhead_s=0.001, up_bytes_per_s=125e3, down_bytes_per_s=500e3)
    profile = LINK.profile(way)
    assert (profile.rtt_s, profile.overhead_s) == pytest.approx((0.052, 0.001))
    assert (profile.up_bytes_per_s, profile.down_bytes_per_s) == pytest.approx((62.5e3, 250e3)), "times add up"


def test_a_scenario_offers_the_device_and_its_own_functions() -> None:
    scenario = Scenario(LINK, 0, (442,))
    offered = [Placement("", 0, 9), Placement("slow", 442, 0), Placement("slow", 885, 0), Placement("fast", 442, 0)]
    assert [scenario.offers(one) for one in offered] == [True, True, False, False]


def test_names_say_what_is_asked() -> None:
    assert Scenario(LINK, 1, (442, 885)).within(1.5e-6).name() == "slow, cold, 442/885 MB, at most 1.50 $/million"
