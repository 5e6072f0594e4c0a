# SPDX-License-Identifier: Apache-2.0
"""Numbers and names as people read them; the numbers that come in are SI."""

from __future__ import annotations

import splitnet.units as units
from splitnet.names import short_codec

_MINUS = "\N{MINUS SIGN}"
_SPACE = "\N{NO-BREAK SPACE}"
_ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"

_LONGEST_CODEC = 40


def typeset(text: str) -> str:
    """With a minus sign, and spaces that no line breaks at."""
    return text.replace("-", _MINUS).replace(" ", _SPACE)


def significant(value: float, digits: int = 3) -> str:
    """As `splitnet.units.significant`, typeset."""
    return typeset(units.significant(value, digits))


def time_text(time_s: float, digits: int = 3) -> str:
    """As "12.3 ms", "1.32 s" or "310 µs"."""
    return "0" if time_s == 0 else typeset(units.format_time(time_s, digits))


def size_text(size_bytes: float) -> str:
    """As "9.46 KB"; KB and MB are powers of ten, as in bandwidths."""
    return typeset(units.format_bytes(size_bytes))


def bandwidth_text(bit_per_s: float) -> str:
    """As "12.0 Mbit/s"."""
    return typeset(units.format_bit_rate(bit_per_s / 8))


def percent_text(share: float) -> str:
    """A share (0.0123) as "1.2 %": one decimal, none from 100 % on."""
    percent = 100 * share
    decimals = 1 if abs(percent) < 100 else 0
    text = f"{percent:.{decimals}f}"
    if float(text) == 0:
        text = "0"
    return f"{text.replace('-', _MINUS)}{_SPACE}%"


def codec_text(name: str) -> str:
    """As `splitnet.names.short_codec`, and not longer than there is room for."""
    return shorten_end(short_codec(name), _LONGEST_CODEC)


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
