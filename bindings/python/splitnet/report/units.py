# SPDX-License-Identifier: Apache-2.0
"""Numbers and names as people read them; the numbers that come in are SI."""

from __future__ import annotations

import math

_MINUS = "\N{MINUS SIGN}"
_SPACE = "\N{NO-BREAK SPACE}"
_ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"

# Options that say with what a codec was made, not which one it is: too long to read.
_OPTIONS_LEFT_OUT = ("tables", "mean", "std")


def significant(value: float, digits: int = 3) -> str:
    """`value` in decimals (no exponent) with so many significant digits, but never fewer than its integer digits."""
    if value == 0:
        return "0"
    before_point = math.floor(math.log10(abs(value))) + 1
    return f"{value:.{max(0, digits - before_point)}f}".replace("-", _MINUS)


def time_text(seconds: float, digits: int = 3) -> str:
    """Seconds as "12.3 ms", "1.32 s" or "310 µs"."""
    magnitude = abs(seconds)
    if magnitude == 0:
        return "0"
    if magnitude >= 1:
        return f"{significant(seconds, digits)}{_SPACE}s"
    if magnitude >= 1e-3:
        return f"{significant(seconds * 1e3, digits)}{_SPACE}ms"
    return f"{significant(seconds * 1e6, digits)}{_SPACE}µs"


def size_text(size_bytes: float) -> str:
    """Bytes as "9.46 KB"; KB and MB are powers of ten, as in bandwidths."""
    for limit, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "KB")):
        if size_bytes >= limit:
            return f"{significant(size_bytes / limit)}{_SPACE}{unit}"
    return f"{significant(size_bytes)}{_SPACE}B"


def bandwidth_text(bit_per_s: float) -> str:
    """Bit per second as "12.0 Mbit/s"."""
    for limit, unit in ((1e9, "Gbit/s"), (1e6, "Mbit/s"), (1e3, "kbit/s")):
        if bit_per_s >= limit:
            return f"{significant(bit_per_s / limit)}{_SPACE}{unit}"
    return f"{significant(bit_per_s)}{_SPACE}bit/s"


def percent_text(share: float) -> str:
    """A share (0.0123) as "1.2 %": one decimal, none from 100 % on."""
    percent = 100 * share
    decimals = 1 if abs(percent) < 100 else 0
    text = f"{percent:.{decimals}f}"
    if float(text) == 0:
        text = "0"
    return f"{text.replace('-', _MINUS)}{_SPACE}%"


def short_codec(name: str) -> str:
    """`transform:tables=b419…;coarseness=-24` as "transform coarseness=-24"."""
    kind, _, options = name.partition(":")
    shown = [option for option in options.split(";") if option and option.split("=")[0] not in _OPTIONS_LEFT_OUT]
    return shorten_end(f"{kind} {', '.join(shown)}".strip(), 40)


def short_cut(cut: str, length: int = 30) -> str:
    """ "after features.3" as "features.3". Of longer names the modules on the left become their first letters, but
    numbers stay: they tell layers apart; and if that is not enough the middle is left out."""
    name = cut.removeprefix("after ")
    modules = name.split(".")
    for index, module in enumerate(modules[:-1]):
        if len(".".join(modules)) <= length:
            break
        if not module.isdigit():
            modules[index] = module[:1]
    name = ".".join(modules)
    end = length // 2
    return name if len(name) <= length else name[: length - end - 1] + _ELLIPSIS + name[-end:]


def shorten_end(text: str, length: int) -> str:
    """At most `length` characters of `text`."""
    return text if len(text) <= length else text[: length - 1] + _ELLIPSIS
