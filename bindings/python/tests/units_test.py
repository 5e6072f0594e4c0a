# SPDX-License-Identifier: Apache-2.0
"""Sizes, times and rates as people write and read them."""

from __future__ import annotations

import pytest

from splitnet import units
from splitnet.errors import InvalidArgument


@pytest.mark.parametrize(
    ("text", "bit_per_s"),
    [("20Mbit", 20e6), ("1.5 Gbit/s", 1.5e9), ("800kbit", 8e5), ("64bit", 64), (".5mbit", 5e5), ("10Mbps", None)],
)
def test_bandwidths(text: str, bit_per_s: float | None) -> None:
    if bit_per_s is None:
        with pytest.raises(InvalidArgument, match="20Mbit"):
            units.parse_bit_rate(text)
    else:
        assert units.parse_bit_rate(text) == pytest.approx(bit_per_s)


@pytest.mark.parametrize(
    ("text", "time_s"), [("5ms", 5e-3), ("0.2s", 0.2), ("2min", 120), ("300us", 3e-4), ("7 µs", 7e-6)]
)
def test_times(text: str, time_s: float) -> None:
    assert units.parse_time(text) == pytest.approx(time_s)


@pytest.mark.parametrize("wrong", ["", "5", "ms", "5 parsec", "-5ms", "5ms5"])
def test_what_is_no_time(wrong: str) -> None:
    with pytest.raises(InvalidArgument, match="5ms"):
        units.parse_time(wrong)


def test_shapes() -> None:
    assert units.parse_sizes("1x3x224x224") == [1, 3, 224, 224]
    for wrong in ("", "1x", "1x-3", "1,3", "x", "axb"):
        with pytest.raises(InvalidArgument, match="1x3x224x224"):
            units.parse_sizes(wrong)


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (units.format_time(0.0123), "12.3 ms"),
        (units.format_time(0.9999), "1000 ms"),
        (units.format_time(95.25), "95.2 s"),
        (units.format_time(2.5e-7), "0.250 µs"),
        (units.format_time(0), "0 s"),
        (units.format_bytes(602112), "602 KB"),
        (units.format_bytes(12), "12 B"),
        (units.format_bit_rate(2.5e6), "20.0 Mbit/s"),
        (units.format_count(301e6), "301 M"),
        (units.format_count(7), "7"),
    ],
)
def test_what_is_shown(shown: str, text: str) -> None:
    assert shown == text
