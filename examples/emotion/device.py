# SPDX-License-Identifier: Apache-2.0
"""What this device can do now."""

from __future__ import annotations

from dataclasses import dataclass

import psutil  # type: ignore[import-untyped]

import splitnet


@dataclass(frozen=True)
class DeviceCheck:
    """The machine, and how fast the network runs on it."""

    cores: int  #: That this process may use.
    busy: float  #: Share of all cores, over the last tenth of a second.
    available_bytes: int
    memory_bytes: int
    battery: float | None  #: Charge, 0..1; None: it has no battery.
    on_mains: bool
    pass_s: float  #: One pass of the whole network on one thread, median.


def check_device(profile: splitnet.DeviceProfile) -> DeviceCheck:
    """Looks at the machine; the network's times are those of the profile."""
    memory = psutil.virtual_memory()
    battery = psutil.sensors_battery()
    return DeviceCheck(
        cores=len(psutil.Process().cpu_affinity()),
        busy=psutil.cpu_percent(0.1) / 100,
        available_bytes=memory.available,
        memory_bytes=memory.total,
        battery=None if battery is None else battery.percent / 100,
        on_mains=battery is None or bool(battery.power_plugged),
        pass_s=profile.pass_s,
    )
