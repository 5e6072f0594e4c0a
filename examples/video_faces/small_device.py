# SPDX-License-Identifier: Apache-2.0
"""A device that computes as slowly as a small one: the thread that runs the networks' layers here gets a fifth of a core.

The camera, the pictures and the radio keep the speed of this machine: it is the layers that are slow on small devices.
"""

from __future__ import annotations

import splitnet
from picks.errors import CheckError
from picks.slow_device import SlowDevice
from picks.throttling import Quota, head_profile
from video_faces import placing
from video_faces.placing import Networks

#: A single-board computer takes about five times as long as a core of a server for such layers.
QUOTA = Quota(quota_s=0.002, period_s=0.01)
SPEED_IN_WORDS = "a fifth of this machine"


def small_device(networks: Networks) -> SlowDevice | str:
    """Slow while `with` lasts; has to be made before any session is open. Or why there can be none here."""
    try:
        return SlowDevice(networks.detector, QUOTA)
    except CheckError as error:
        return str(error)


def full_speed_profiles(networks: Networks) -> dict[str, splitnet.DeviceProfile]:
    """Of each network, to be taken before the device is slow."""
    once = splitnet.ProfileOptions(stage=splitnet.StageOptions(threads=1))
    return {name: splitnet.profile_device(part, part.example_inputs, once) for name, part in networks.by_name().items()}


def plan_of_small_device(
    part: splitnet.Partitioner,
    worker: str,
    calibration: splitnet.Calibration,
    full_speed: splitnet.DeviceProfile,
) -> splitnet.TwoTierPlan:
    """As placing.make_plan, whose errors it raises."""
    return placing.make_plan(part, worker, calibration, device=head_profile(full_speed, QUOTA))
