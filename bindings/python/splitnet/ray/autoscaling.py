# SPDX-License-Identifier: Apache-2.0
"""How many actors a stage has, from how much it has to do."""

from __future__ import annotations

import dataclasses
import logging
import math
import time
from collections.abc import Mapping
from typing import Any

from splitnet.errors import InvalidArgument
from splitnet.ray.stage_pool import StagePool

_log = logging.getLogger("splitnet.ray")
LOOK_EVERY_S = 0.1  #: As the controller of Ray Serve does.


@dataclasses.dataclass(frozen=True)
class Load:
    """What is known of a stage at one moment."""

    now_s: float  #: Of a monotonic clock.
    ongoing: int  #: Requests that wait or run at the stage.
    replicas: int  #: That there should be, those that start among them.


@dataclasses.dataclass(frozen=True)
class Past:
    """Looks in a row at all of which more replicas were wanted than there are, or fewer."""

    since_s: float  #: The first of them.
    wanted: int  #: Of what they wanted, the nearest to what there is.


@dataclasses.dataclass(frozen=True)
class AutoscalingConfig:
    """The words, meanings and defaults are those of `autoscaling_config` in Ray Serve, as far as they go.

    wanted = ceil(ongoing / target_ongoing_requests), within the bounds. More are started when more were wanted at every
    look for `upscale_delay_s`, fewer are kept when fewer were for `downscale_delay_s`: in both cases by the smallest
    change that was wanted in this time.
    """

    max_replicas: int
    min_replicas: int = 1  #: At least 1: unlike Serve's, no stage is ever without an actor.
    target_ongoing_requests: float = 2.0  #: For each replica, waiting ones included.
    upscale_delay_s: float = 30.0
    downscale_delay_s: float = 600.0

    def __post_init__(self) -> None:
        """Raises InvalidArgument naming the field."""
        for name, least in (("min_replicas", 1), ("max_replicas", self.min_replicas)):
            if type(found := getattr(self, name)) is not int or found < least:
                raise InvalidArgument(f"{name} is {found!r}, expected a whole number from {least} on")
        for name in ("target_ongoing_requests", "upscale_delay_s", "downscale_delay_s"):
            found, above = getattr(self, name), name == "target_ongoing_requests"
            if not isinstance(found, int | float) or not math.isfinite(found) or found < 0 or above and not found:
                raise InvalidArgument(f"{name} is {found!r}, expected a number {'above 0' if above else 'from 0 on'}")

    def decide(self, load: Load, past: Past | None) -> tuple[int, Past | None]:
        """How many replicas there should be from now on; and the past of the next look. The first look has none."""
        wanted = math.ceil(load.ongoing / self.target_ongoing_requests)
        wanted = min(max(wanted, self.min_replicas), self.max_replicas)
        if wanted == load.replicas:
            return wanted, None
        more = wanted > load.replicas
        if past is None or more != (past.wanted > load.replicas):
            past = Past(load.now_s, wanted)
        nearest = min(past.wanted, wanted) if more else max(past.wanted, wanted)
        if load.now_s - past.since_s < (self.upscale_delay_s if more else self.downscale_delay_s):
            return load.replicas, Past(past.since_s, nearest)
        return nearest, None

    @property
    def needed_ongoing(self) -> int:
        """The fewest requests at the stage for which it has all its replicas."""
        return math.floor(self.target_ongoing_requests * (self.max_replicas - 1)) + 1

    @property
    def most_ongoing(self) -> int:
        """Requests that keep all replicas busy: two for each, or the target."""
        return math.ceil(self.max_replicas * max(2, self.target_ongoing_requests))

    def at_first(self, replicas: int) -> int:
        """How many to begin with when so many were asked for. Raises InvalidArgument."""
        if replicas > self.max_replicas:
            raise InvalidArgument(f"replicas is {replicas}, expected at most max_replicas, {self.max_replicas}")
        return max(replicas, self.min_replicas)


def autoscaling_of(value: Mapping[str, Any] | None) -> AutoscalingConfig | None:
    """Raises InvalidArgument: a word that is not known, or a value that can't be."""
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise InvalidArgument(f"autoscaling_config is {value!r}, expected a mapping")
    known = [one.name for one in dataclasses.fields(AutoscalingConfig)]
    unknown = sorted(set(value) - set(known))
    if unknown:
        raise InvalidArgument(f"autoscaling_config has {unknown}, expected none but {known}")
    if "max_replicas" not in value:
        raise InvalidArgument(f"autoscaling_config has {sorted(value)}, expected max_replicas too")
    return AutoscalingConfig(**value)


async def look(pool: StagePool, config: AutoscalingConfig, past: Past | None) -> Past | None:
    """Scales the stage if it should be. What fails is logged and wanted again later: no room in the cluster, a head that
    restarts."""
    load = Load(time.monotonic(), pool.ongoing, pool.wanted)
    replicas, past = config.decide(load, past)
    if replicas != load.replicas:
        _log.info(
            "stage %d: %d replicas instead of %d, for %d requests", pool.index, replicas, load.replicas, load.ongoing
        )
        try:
            await pool.scale(replicas)
        except Exception as error:  # Whatever it is: who looks no more never scales again.
            _log.warning("stage %d: not %d replicas for now: %s: %s", pool.index, replicas, type(error).__name__, error)
    return past
