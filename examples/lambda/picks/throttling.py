# SPDX-License-Identifier: Apache-2.0
"""How long work takes under a quota of processor time, and profiles of machines that have one.

A quota does not stretch time evenly: the kernel (Documentation/scheduler/sched-bwc.rst) lets a control group run at full
speed until its quota is used up, and then not at all until the next period begins. So layers are profiled at full speed, and
scaled from there; a profile taken under the quota would give all the waiting to the few layers that it happened to hit.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import splitnet
from local_aws import Function
from local_aws.limits import PERIOD_US

_MOMENTS = 256


@dataclass(frozen=True)
class Quota:
    """Seconds of processor time in each period."""

    quota_s: float
    period_s: float

    @staticmethod
    def of(function: Function) -> Quota:
        """What local_aws gives it."""
        period_s = PERIOD_US / 1e6
        return Quota(function.vcpus * period_s, period_s)


def throttled_s(cpu_s: float, quota: Quota) -> float:
    """What a run of `cpu_s` seconds of processor time takes, on one processor and from idling.

    Periods go on while the group idles, so the run begins anywhere in one, with the whole quota: this is the mean over
    where. With `left` of that period still to come, the run has min(quota, left), then a quota each period.
    """
    if quota.quota_s >= quota.period_s:
        return cpu_s
    moments = ((i + 0.5) / _MOMENTS * quota.period_s for i in range(_MOMENTS))
    return sum(_run_s(cpu_s, left_s, quota) for left_s in moments) / _MOMENTS


def _run_s(cpu_s: float, left_s: float, quota: Quota) -> float:
    rest_s = cpu_s - min(quota.quota_s, left_s)
    if rest_s <= 0:
        return cpu_s
    whole = math.ceil(rest_s / quota.quota_s) - 1
    return left_s + whole * quota.period_s + rest_s - whole * quota.quota_s


def head_profile(full_speed: splitnet.DeviceProfile, quota: Quota) -> splitnet.DeviceProfile:
    """Of a device: the layers of every head add up to what that head takes under the quota."""
    overhead_s = full_speed.stage_overhead_s
    heads_s = itertools.accumulate(layer.time_s for layer in full_speed.layers)
    return _with_stages(
        full_speed,
        empty_s=throttled_s(overhead_s, quota),
        stages_s=[throttled_s(overhead_s + head_s, quota) for head_s in heads_s],
        steps_from_start=True,
    )


def tail_profile(full_speed: splitnet.DeviceProfile, quota: Quota, before_s: Sequence[float]) -> splitnet.DeviceProfile:
    """Of a function: the layers of every tail add up to what that tail takes under the quota, of which the request has used
    `before_s` (by the layer that the tail begins with) when the tail begins.
    """
    overhead_s = full_speed.stage_overhead_s
    tails_s = list(itertools.accumulate(layer.time_s for layer in reversed(full_speed.layers)))[::-1]

    def after_s(used_s: float, stage_s: float) -> float:
        return throttled_s(used_s + overhead_s + stage_s, quota) - throttled_s(used_s, quota)

    return _with_stages(
        full_speed,
        empty_s=after_s(before_s[-1], 0.0),
        stages_s=[after_s(used_s, tail_s) for used_s, tail_s in zip(before_s, tails_s, strict=True)],
        steps_from_start=False,
    )


def _with_stages(
    full_speed: splitnet.DeviceProfile, empty_s: float, stages_s: Sequence[float], steps_from_start: bool
) -> splitnet.DeviceProfile:
    """`stages_s`: of the stage that ends (or begins) with each layer. `empty_s`: of one without layers."""
    shorter_s = [empty_s, *stages_s[:-1]] if steps_from_start else [*stages_s[1:], empty_s]
    layers = [
        layer.replace(time_s=max(0.0, stage_s - less_s))
        for layer, stage_s, less_s in zip(full_speed.layers, stages_s, shorter_s, strict=True)
    ]
    return full_speed.replace(
        layers=layers, stage_overhead_s=empty_s, pass_s=stages_s[-1] if steps_from_start else stages_s[0]
    )


def whole_s(profile: splitnet.DeviceProfile) -> float:
    """Of the network in one stage, as the cost model has it with a load factor of 1."""
    return profile.stage_overhead_s + sum(layer.time_s for layer in profile.layers)
