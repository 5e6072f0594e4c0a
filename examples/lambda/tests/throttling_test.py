# SPDX-License-Identifier: Apache-2.0
"""Time under quotas, by hand."""

from __future__ import annotations

import itertools

import pytest

import splitnet
from local_aws import Function
from picks.throttling import Quota, head_profile, tail_profile, throttled_s, whole_s

QUARTER = Quota(0.005, 0.02)


@pytest.mark.parametrize(
    ("cpu_ms", "wall_ms"),
    [
        (0, 0),
        (4, 4),
        # In three quarters of the moments 2 ms are left for the next period, which is 5 to 20 ms away; of the rest,
        # 3 in 5 have no more than 5 ms for the next period and run through, 2 in 5 need a third one.
        (7, 0.75 * (12.5 + 2) + 0.15 * 7 + 0.10 * 22),
        (20, 0.75 * (12.5 + 45) + 0.25 * 65),
    ],
)
def test_a_quota_is_used_up_at_full_speed_and_then_waited_for(cpu_ms: float, wall_ms: float) -> None:
    assert throttled_s(cpu_ms / 1e3, QUARTER) * 1e3 == pytest.approx(wall_ms, abs=0.05)


def test_a_whole_processor_is_not_throttled() -> None:
    assert throttled_s(0.123, Quota.of(Function("whole", ["/bin/true"], memory_megabytes=1769))) == 0.123
    assert Quota.of(Function("half", ["/bin/true"], memory_megabytes=885)).quota_s == pytest.approx(0.01, rel=1e-3)


def test_more_work_never_takes_less() -> None:
    times_s = [throttled_s(step / 1e4, QUARTER) for step in range(400)]
    assert all(less <= more for less, more in itertools.pairwise(times_s))


def profile(times_s: list[float], stage_overhead_s: float) -> splitnet.DeviceProfile:
    layers = [splitnet.LayerTime(name=str(index), time_s=time_s) for index, time_s in enumerate(times_s)]
    return splitnet.DeviceProfile(
        layers=layers, stage_overhead_s=stage_overhead_s, pass_s=sum(times_s) + stage_overhead_s
    )


def test_layers_of_every_head_and_tail_add_up_to_what_it_takes() -> None:
    full_speed = profile([0.004, 0.001, 0.007, 0.012], 0.0005)
    head = head_profile(full_speed, QUARTER)
    for done, cpu_s in enumerate([0.0045, 0.0055, 0.0125, 0.0245], start=1):
        took_s = head.stage_overhead_s + sum(layer.time_s for layer in head.layers[:done])
        assert took_s == pytest.approx(throttled_s(cpu_s, QUARTER))
    before_s = [0.004, 0.002, 0.003, 0.001]
    tail = tail_profile(full_speed, QUARTER, before_s)
    for begin, cpu_s in enumerate([0.0245, 0.0205, 0.0195, 0.0125]):
        took_s = tail.stage_overhead_s + sum(layer.time_s for layer in tail.layers[begin:])
        assert took_s == pytest.approx(throttled_s(before_s[begin] + cpu_s, QUARTER) - before_s[begin])
    assert whole_s(tail) == pytest.approx(tail.pass_s)
    assert whole_s(head) == pytest.approx(head.pass_s)


def test_without_a_quota_a_profile_stays_as_it_is() -> None:
    full_speed = profile([0.004, 0.001], 0.0005)
    whole = Quota(0.02, 0.02)
    for scaled in (head_profile(full_speed, whole), tail_profile(full_speed, whole, [0.003, 0.002])):
        assert [layer.time_s for layer in scaled.layers] == pytest.approx([0.004, 0.001])
        assert scaled.stage_overhead_s == pytest.approx(0.0005)
