# SPDX-License-Identifier: Apache-2.0
"""Sizes, times and rates as people write and read them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from splitnet.errors import InvalidArgument

_BIT_RATES = {"bit": 1.0, "kbit": 1e3, "mbit": 1e6, "gbit": 1e9}
_TIMES = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "min": 60.0}
_NUMBER_AND_UNIT = re.compile(r"\s*([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*([a-zµ]+)(?:/s)?\s*", re.IGNORECASE)


def _parse(text: str, units: dict[str, float], what: str, example: str) -> float:
    found = _NUMBER_AND_UNIT.fullmatch(text)
    unit = units.get(found[2].lower()) if found else None
    if found is None or unit is None:
        raise InvalidArgument(
            f"{text!r} is no {what}: expected a number and one of {', '.join(units)}, as in {example}"
        )
    return float(found[1]) * unit


def parse_bit_rate(text: str) -> float:
    """Bits per second from `20Mbit`, `1.5 Gbit/s`; decimal. Raises InvalidArgument."""
    return _parse(text, _BIT_RATES, "bandwidth", "20Mbit")


def parse_time(text: str) -> float:
    """Seconds from `5ms`, `0.2s`, `2min`. Raises InvalidArgument."""
    return _parse(text, _TIMES, "time", "5ms")


def parse_sizes(text: str) -> list[int]:
    """Sizes of a tensor from `1x3x224x224`. Raises InvalidArgument."""
    if not re.fullmatch(r"[0-9]+(x[0-9]+)*", text):
        raise InvalidArgument(f"{text!r} is no shape: expected sizes with x between them, as in 1x3x224x224")
    return [int(size) for size in text.split("x")]


def significant(value: float, digits: int = 3) -> str:
    """`value` in decimals (no exponent) with so many significant digits, but never fewer than its integer digits."""
    if value == 0:
        return "0"
    before_point = math.floor(math.log10(abs(value))) + 1
    return f"{value:.{max(0, digits - before_point)}f}"


def format_bytes(count: float) -> str:
    """Decimal units: `12.5 KB`."""
    return f"{count:.0f} B" if abs(count) < 1e3 else _scaled(count, (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)))


def format_count(count: float) -> str:
    """`301 M`."""
    return f"{count:.0f}" if abs(count) < 1e3 else _scaled(count, (("G", 1e9), ("M", 1e6), ("k", 1e3)))


def format_time(time_s: float, digits: int = 3) -> str:
    """`12.5 ms`."""
    return "0 s" if time_s == 0 else _scaled(time_s, (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)), digits)


def format_bit_rate(bytes_per_s: float) -> str:
    """`20.0 Mbit/s`, of bytes per second."""
    return _scaled(8 * bytes_per_s, (("Gbit/s", 1e9), ("Mbit/s", 1e6), ("kbit/s", 1e3), ("bit/s", 1.0)))


def _scaled(value: float, units: Sequence[tuple[str, float]], digits: int = 3) -> str:
    """In the largest unit of which there is one at least; otherwise in the last one."""
    unit, size = next((one for one in units if abs(value) >= one[1]), units[-1])
    return f"{significant(value / size, digits)} {unit}"
