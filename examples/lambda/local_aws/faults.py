# SPDX-License-Identifier: Apache-2.0
"""Faults on request: what a function's next calls meet before they reach it."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import email.utils
from dataclasses import dataclass

from aiohttp import web


@dataclass(frozen=True)
class Fault:
    """Applies to `times` calls of a function, in the order in which faults were asked for."""

    times: int = 1
    status: int = 0
    """Answer with it instead of calling the function; 0: call it."""
    retry_after_s: float | None = None
    """`Retry-After` of that answer."""
    delay_s: float = 0.0
    """Wait so long first."""
    drop: bool = False
    """Close the connection without an answer."""
    clock_skew_s: float = 0.0
    """The `Date` header, and the clock that signatures are compared with, are off by so much."""


class Faults:
    def __init__(self) -> None:
        self._waiting: dict[str, list[Fault]] = {}

    def add(self, function: str, fault: Fault) -> None:
        self._waiting.setdefault(function, []).append(fault)

    def take(self, function: str) -> Fault | None:
        waiting = self._waiting.get(function)
        if not waiting:
            return None
        fault = waiting.pop(0)
        if fault.times > 1:
            waiting.insert(0, dataclasses.replace(fault, times=fault.times - 1))
        return fault


async def meet(fault: Fault, request: web.Request) -> None:
    """Waits, or breaks off the connection."""
    await asyncio.sleep(fault.delay_s)
    if fault.drop and request.transport:
        request.transport.abort()
        raise web.HTTPServiceUnavailable  # Goes nowhere.


def date_header(skew_s: float) -> str:
    now = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=skew_s)
    return email.utils.format_datetime(now, usegmt=True)
