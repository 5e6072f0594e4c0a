# SPDX-License-Identifier: Apache-2.0
"""Latency against throughput on one link, by prediction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt

from . import theme, units
from .document import FrontPoint, Link
from .plot import Plot, data, linear_axis, place, place_color, specification

# Of points on a front: with more of them the numbers would cover one another.
_MOST_NUMBERS = 10


def pareto(link: Link, points: Sequence[FrontPoint]) -> Plot:
    """The planner's front of latency and throughput; `points`, at least one, are numbered when they are few."""
    numbered = len(points) <= _MOST_NUMBERS
    values = [_value(point, str(number) if numbered else "") for number, point in enumerate(points, start=1)]
    base = alt.Chart(data(values)).encode(
        x=alt.X(
            "latency:Q",
            title="latency of one inference, predicted (ms)",
            scale=_ends(values, "latency"),
            axis=linear_axis(),
        ),
        y=alt.Y("throughput:Q", title="throughput, predicted (1/s)", scale=_ends(values, "throughput")),
    )
    line = base.mark_line(interpolate="step-after", color=theme.TERMS["wire"], strokeDash=[4, 3])
    numbers = base.mark_text(fontWeight="bold", fontSize=12, color="white", style="on-color").encode(text="number:N")
    description = _description(link, points)
    return Plot(
        name="pareto",
        title="Pareto front of latency and throughput",
        caption="Predicted. Towards the left and the top is better; no plan beats one of these in both. "
        "Throughput is that of a pipeline, with head, wire and tail busy at the same time.",
        description=description,
        spec=specification(alt.layer(line, _dots(base, 420 if numbered else 90), numbers), description, height=260),
    )


def _value(point: FrontPoint, number: str) -> dict[str, Any]:
    return {
        "number": number,
        "cut": point.cut,
        "codec": point.codec,
        "place": place(point.cut, point.codec),
        "latency": 1e3 * point.latency_s,
        "throughput": point.throughput_per_s,
    }


def _ends(values: Sequence[dict[str, Any]], key: str) -> alt.Scale:
    """A tenth of room at each end, so that plans that are almost alike look alike."""
    numbers = [value[key] for value in values]
    return alt.Scale(domain=[0.9 * min(numbers), 1.1 * max(numbers)], zero=False)


def _dots(base: alt.Chart, size: int) -> alt.Chart:
    chart: alt.Chart = base.mark_circle(size=size, opacity=1).encode(
        color=place_color(),
        tooltip=[
            alt.Tooltip("cut:N"),
            alt.Tooltip("codec:N"),
            alt.Tooltip("latency:Q", title="latency (ms)", format=".3~f"),
            alt.Tooltip("throughput:Q", title="throughput (1/s)", format=".3~f"),
        ],
    )
    return chart


def _description(link: Link, points: Sequence[FrontPoint]) -> str:
    first, last = points[0], points[-1]
    return (
        f"Pareto front on {link.label}: {len(points)} plans, from {units.time_text(first.latency_s)} at "
        f"{units.significant(first.throughput_per_s)} per second to {units.time_text(last.latency_s)} at "
        f"{units.significant(last.throughput_per_s)}."
    )
