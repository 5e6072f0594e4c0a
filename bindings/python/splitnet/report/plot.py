# SPDX-License-Identifier: Apache-2.0
"""One plot of the report: its Vega-Lite specification and the words that belong to it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import altair as alt

from splitnet.names import DEVICE_ONLY, WORKER_ONLY

from . import theme
from .document import RAW, SPLIT


@dataclass(frozen=True)
class Choice:
    """A `<select>` of the page that sets a parameter of the plot."""

    parameter: str
    label: str
    options: Sequence[str]  # The first one is the parameter's value.


@dataclass(frozen=True)
class Plot:
    """Names and options that are data stand in the specification's data only, never in its expressions."""

    name: str  # Lower case and hyphens.
    title: str
    caption: str
    description: str  # For those who can't see it.
    spec: dict[str, Any]
    choices: Sequence[Choice] = field(default=())


def data(values: Sequence[dict[str, Any]]) -> alt.InlineData:
    """The values in the specification itself, numbers to 6 digits."""
    return alt.InlineData(values=[{key: _rounded(value) for key, value in row.items()} for row in values])


def specification(chart: alt.LayerChart | alt.FacetChart, description: str, *, height: int) -> dict[str, Any]:
    """As wide as its container with all its words, the axes `height` pixels high. Without a configuration, see theme."""
    spec = chart.to_dict()
    del spec["config"]
    return spec | {
        "width": "container",
        "height": height,
        "description": description,
        "padding": 4,
        "autosize": {"type": "fit-x", "contains": "padding"},
    }


def place(cut: str, codec: str) -> str:
    """A key of theme.PLACES."""
    if cut == WORKER_ONLY:
        return WORKER_ONLY if codec == RAW else theme.WORKER_ONLY_COMPRESSED
    return DEVICE_ONLY if cut == DEVICE_ONLY else SPLIT


def place_color(legend_title: str | None = None) -> alt.Color:
    """The field `place`, by colour; the same legend wherever it stands."""
    return alt.Color("place:N", scale=_place_scale(list(theme.PLACES.values())), title=legend_title)


def place_shape() -> alt.Shape:
    """The field `place`, by shape."""
    return alt.Shape("place:N", scale=_place_scale(["square", "triangle-up", "triangle-down", "circle"]), title=None)


def linear_axis(pixels: int = 100) -> alt.Axis:
    """A tick for every so many pixels of width, about."""
    return alt.Axis(tickCount=alt.ExprRef(f"ceil(width / {pixels})"), labelOverlap="greedy", labelSeparation=8)


def log_axis(low: float, high: float) -> tuple[alt.Scale, alt.Axis]:
    """For values from `low` to `high`, both above 0, with a little room, and ticks at 1, 2 and 5 times powers of ten;
    over more than three powers at these alone."""
    steps = (1, 2, 5) if high / low < 1000 else (1,)
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    ticks = [step * 10.0**power for power in range(first, last + 1) for step in steps]
    ends = low / 1.2, high * 1.2
    return (
        alt.Scale(type="log", domain=list(ends), nice=False),
        alt.Axis(
            values=[tick for tick in ticks if ends[0] <= tick <= ends[1]],
            format="~r",
            labelOverlap="greedy",
            labelSeparation=6,
        ),
    )


def _place_scale(values: Sequence[str]) -> alt.Scale:
    return alt.Scale(domain=list(theme.PLACES), range=list(values))


def _rounded(value: Any) -> Any:
    return float(f"{value:.6g}") if isinstance(value, float) else value
