# SPDX-License-Identifier: Apache-2.0
"""Sizes, times and rates as people write and read them."""

from __future__ import annotations

import re

from splitnet.errors import InvalidArgument

_BIT_RATES = {"bit": 1.0, "kbit": 1e3, "mbit": 1e6, "gbit": 1e9}
_TIMES = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "min": 60.0}
_NUMBER_AND_UNIT = re.compile(r"\s*([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*([a-zµ]+)(?:/s|ps)?\s*", re.IGNORECASE)


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


def format_bytes(count: float) -> str:
    """Decimal units: `12.5 KB`."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if abs(count) >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count:.0f} B"


def format_count(count: float) -> str:
    """`301 M`."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(count) >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count:.0f}"


def format_time(time_s: float) -> str:
    """`12.5 ms`."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if abs(time_s) >= size:
            return f"{time_s / size:.3g} {unit}"
    return f"{time_s * 1e9:.3g} ns" if time_s else "0 s"


def format_bit_rate(bytes_per_s: float) -> str:
    """`20 Mbit/s`, of bytes per second."""
    bits = 8 * bytes_per_s
    for unit, size in (("Gbit/s", 1e9), ("Mbit/s", 1e6), ("kbit/s", 1e3)):
        if bits >= size:
            return f"{bits / size:.3g} {unit}"
    return f"{bits:.3g} bit/s"
