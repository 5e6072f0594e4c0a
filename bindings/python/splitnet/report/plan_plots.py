# SPDX-License-Identifier: Apache-2.0
"""What is only predicted, or known from calibration: the map of plans, Pareto fronts, and the codecs' fidelity."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import altair as alt

from . import theme, units
from .document import CodecEffect, FrontPoint, Link, PlanMap
from .plot import Choice, Plot, data, linear_axis, log_axis, place, place_color, specification

EVERY_CUT = "every cut"

# Of points on a front: with more of them the numbers would cover one another.
_MOST_NUMBERS = 10


def pareto(link: Link, points: Sequence[FrontPoint]) -> Plot:
    """The planner's front of latency and throughput; `points`, at least one, are numbered when they are few."""
    numbered = len(points) <= _MOST_NUMBERS
    values: list[dict[str, Any]] = [
        {
            "number": str(number) if numbered else "",
            "cut": point.cut,
            "codec": point.codec,
            "place": place(point.cut, point.codec),
            "latency": 1e3 * point.latency_s,
            "throughput": point.throughput_per_s,
        }
        for number, point in enumerate(points, start=1)
    ]
    x = alt.X(
        "latency:Q",
        title="latency of one inference, predicted (ms)",
        scale=_ends(values, "latency"),
        axis=linear_axis(),
    )
    y = alt.Y("throughput:Q", title="throughput, predicted (1/s)", scale=_ends(values, "throughput"))
    base = alt.Chart(data(values)).encode(x=x, y=y)
    dots = base.mark_circle(size=420 if numbered else 90, opacity=1).encode(
        color=place_color(),
        tooltip=[
            alt.Tooltip("cut:N"),
            alt.Tooltip("codec:N"),
            alt.Tooltip("latency:Q", title="latency (ms)", format=".3~f"),
            alt.Tooltip("throughput:Q", title="throughput (1/s)", format=".3~f"),
        ],
    )
    line = base.mark_line(interpolate="step-after", color=theme.TERMS["wire"], strokeDash=[4, 3])
    numbers = base.mark_text(fontWeight="bold", fontSize=12, color="white", style="on-color").encode(text="number:N")
    description = f"Pareto front on {link.label}: {len(points)} plans, from {units.time_text(points[0].latency_s)} at "
    description += f"{units.significant(points[0].throughput_per_s)} per second to "
    description += f"{units.time_text(points[-1].latency_s)} at {units.significant(points[-1].throughput_per_s)}."
    return Plot(
        name="pareto",
        title="Pareto front of latency and throughput",
        caption="Predicted. Towards the left and the top is better; no plan beats one of these in both. "
        "Throughput is that of a pipeline, with head, wire and tail busy at the same time.",
        description=description,
        spec=specification(alt.layer(line, dots, numbers), description, height=260),
    )


def plan_map(found: PlanMap) -> Plot:
    """The best plan over bandwidth and speed ratio."""
    values: list[dict[str, Any]] = []
    for cell in found.cells:
        kind = place(cell.cut, cell.codec)
        values.append(
            {
                "bandwidth": cell.bandwidth_bit_per_s / 1e6,
                "ratio": cell.speed_ratio,
                "place": kind,
                "cut": cell.cut,
                "codec": cell.codec,
                "latency": units.time_text(cell.latency_s),
                "device_only": units.time_text(cell.device_only_s),
                "worker_only": units.time_text(cell.worker_only_s),
                "gain": f"{100 * cell.gain:.0f}" if kind == "split" else "",
            }
        )
    columns = len({value["bandwidth"] for value in values})
    axis = alt.Axis(format=".3~r", labelAngle=0, labelOverlap="greedy", labelSeparation=6)
    base = alt.Chart(data(values)).encode(
        x=alt.X("bandwidth:O", title="bandwidth (Mbit/s)", axis=axis),
        y=alt.Y("ratio:O", sort="descending", title="speed ratio (device / worker time)", axis=axis),
    )
    cells = base.mark_rect(stroke=theme.PAPER, strokeWidth=1).encode(
        color=place_color(),
        tooltip=["bandwidth:Q", "ratio:Q", "cut:N", "codec:N", "latency:N", "device_only:N", "worker_only:N"],
    )
    gains = base.mark_text(
        fontSize=11, color="white", style="on-color", opacity=alt.ExprRef(f"width / {columns} < 28 ? 0 : 1")
    ).encode(text="gain:N")
    counts = Counter(value["place"] for value in values)
    listed = ", ".join(f"{kind} in {counts[kind]}" for kind in theme.PLACES if counts[kind])
    description = f"Best plan by prediction over bandwidth and speed ratio, of {len(values)} cells: {listed}."
    return Plot(
        name="map",
        title="Best plan over bandwidth and speed ratio",
        caption="Predicted, for one inference and a round-trip time of "
        f"{units.time_text(found.rtt_s)}. The speed ratio is the device's time for the whole model over the worker's. "
        "Numbers in cells that are split: percent faster than the better of device only and worker only.",
        description=description,
        spec=specification(
            alt.layer(cells, gains), description, height=26 * len({cell.speed_ratio for cell in found.cells})
        ),
    )


def fidelity(codecs: Sequence[CodecEffect]) -> Plot:
    """How many answers change against how much smaller the boundary is."""
    families = [name for name, _ in Counter(codec.name.partition(":")[0] for codec in codecs).most_common()]
    sizes = Counter((codec.cut, codec.name.partition(":")[0]) for codec in codecs)
    values = [
        {
            "family": codec.name.partition(":")[0],
            "codec": codec.name,
            "cut": codec.cut,
            "curve": sizes[codec.cut, codec.name.partition(":")[0]] > 2,
            "smaller": 1 / codec.ratio,
            "changed": 100 * max(0.0, 1 - codec.agreement),
            "low": 100 * max(0.0, 1 - codec.agreement_high),
            "high": 100 * max(0.0, 1 - codec.agreement_low),
            "loss": units.percent_text(codec.accuracy_loss),
            "divergence": "" if codec.divergence_nat is None else units.significant(codec.divergence_nat),
        }
        for codec in codecs
    ]
    scale, axis = log_axis(min(1 / codec.ratio for codec in codecs), max(1 / codec.ratio for codec in codecs))
    x = alt.X("smaller:Q", title="boundary bytes: times smaller than raw (logarithmic)", scale=scale, axis=axis)
    y_title = "answers that change (%, square root)"
    y = alt.Y("changed:Q", title=y_title, scale=alt.Scale(type="sqrt"))
    colors = [theme.SERIES[i % len(theme.SERIES)] for i in range(len(families))]
    color = alt.Color("family:N", scale=alt.Scale(domain=families, range=colors), legend=alt.Legend(title=None))
    base = (
        alt.Chart(data(values))
        .transform_filter("cut == cuts_all || datum.cut == cut || datum.cut == 'any cut'")
        .encode(x=x, color=color)
    )
    curves = base.transform_filter("datum.curve").mark_line(strokeWidth=1.5).encode(y=y, detail="cut:N")
    intervals = base.mark_rule(strokeWidth=1, opacity=0.5).encode(y=alt.Y("low:Q", title=y_title), y2="high:Q")
    dots = base.mark_point(size=70, filled=True, opacity=1).encode(
        y=y,
        tooltip=[
            "codec:N",
            "cut:N",
            alt.Tooltip("smaller:Q", title="times smaller", format=".3~f"),
            alt.Tooltip("changed:Q", title="answers that change (%)", format=".3~f"),
            alt.Tooltip("loss:N", title="accuracy loss"),
            alt.Tooltip("divergence:N", title="divergence (nat)"),
        ],
    )
    description = (
        f"Share of answers that change against how many times smaller the boundary is, for {len(codecs)} codecs and "
        f"cuts; families: {', '.join(families)}."
    )
    chart = alt.layer(intervals, curves, dots).add_params(
        alt.param(name="cuts_all", value=EVERY_CUT), alt.param(name="cut", value=EVERY_CUT)
    )
    cuts = list(dict.fromkeys(codec.cut for codec in codecs if codec.cut != "any cut"))
    return Plot(
        name="fidelity",
        title="Rate and fidelity of the codecs",
        caption="Towards the right and the bottom is better. Vertical lines: intervals of 95 %. A line joins the "
        "settings of one codec on one cut.",
        description=description,
        spec=specification(chart, description, height=340),
        choices=[Choice("cut", "Cut", [EVERY_CUT, *cuts])] if len(cuts) > 1 else [],
    )


def _ends(values: Sequence[dict[str, Any]], key: str) -> alt.Scale:
    """A tenth of room at each end, so that plans that are almost alike look alike."""
    numbers = [value[key] for value in values]
    return alt.Scale(domain=[0.9 * min(numbers), 1.1 * max(numbers)], zero=False)
