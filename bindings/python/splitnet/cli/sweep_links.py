# SPDX-License-Identifier: Apache-2.0
"""The links of a sweep, from `--bandwidth`, `--down` and `--rtt`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from splitnet.cli.failures import WrongUsage
from splitnet.cli.options import parsed, parsed_or_none
from splitnet.units import format_bit_rate, format_time, parse_bit_rate, parse_time


@dataclass(frozen=True)
class SweptLink:
    """An endpoint, and what people call the link to it."""

    endpoint: str
    name: str


def links_of(worker: str, bandwidth: str | None, down: str | None, rtt: str | None) -> list[SweptLink]:
    """One modelled link for each bandwidth; without one the link as it is, with the round trip added. WrongUsage."""
    rtt_s = parsed_or_none("--rtt", rtt, parse_time)
    if bandwidth is None:
        if down is not None:
            raise WrongUsage("--down needs --bandwidth, which is the other direction")
        return [_link(worker, None, None, rtt_s)]
    ups = parsed("--bandwidth", bandwidth, parse_bit_rates)
    downs = ups if down is None else parsed("--down", down, parse_bit_rates)
    if len(downs) == 1:
        downs = downs * len(ups)
    if len(downs) != len(ups):
        raise WrongUsage(f"--down has {len(downs)} rates, expected one, or one for each of {len(ups)} in --bandwidth")
    links = [_link(worker, up, one_down, rtt_s) for up, one_down in zip(ups, downs, strict=True)]
    if len({link.endpoint for link in links}) < len(links):
        raise WrongUsage(f"--bandwidth {bandwidth} has a link twice")
    return links


def parse_bit_rates(text: str) -> list[float]:
    """Bits per second from `1,5,20,100Mbit`: a number without a unit has that of the next one behind it. Raises
    InvalidArgument."""
    unit, rates = "", []
    for item in reversed([one.strip() for one in text.split(",")]):
        if re.fullmatch(r"[0-9.]+", item):
            item += unit
        else:
            unit = item.lstrip("0123456789. ")
        rates.append(parse_bit_rate(item))
    return rates[::-1]


def _link(worker: str, up: float | None, down: float | None, rtt_s: float | None) -> SweptLink:
    """Rates in bits per second."""
    shape = [f"{key}={_rate(rate)}" for key, rate in (("up", up), ("down", down)) if rate is not None]
    names = []
    if up is not None and down is not None:
        names.append(_named(up) + ("" if down == up else f" up, {_named(down)} down"))
    if rtt_s is not None:
        shape.append(f"delay={rtt_s / 2 * 1e6:.6g}us")  # One way.
        names.append(without_zeros(format_time(rtt_s)))
    endpoint = f"shaped://{','.join(shape)}@{worker}" if shape else worker
    return SweptLink(endpoint, ", ".join(names) or worker)


def _named(bit_per_s: float) -> str:
    return without_zeros(format_bit_rate(bit_per_s / 8))


def without_zeros(text: str) -> str:
    """`1 Mbit/s` for `1.00 Mbit/s`: these numbers were given, and not measured."""
    return re.sub(r"\.0+(?= )|(\.\d*[1-9])0+(?= )", r"\1", text)


def _rate(bit_per_s: float) -> str:
    for unit, size in (("Gbit", 1e9), ("Mbit", 1e6), ("kbit", 1e3)):
        if bit_per_s >= size:
            return f"{bit_per_s / size:.6g}{unit}"
    return f"{bit_per_s:.6g}bit"
