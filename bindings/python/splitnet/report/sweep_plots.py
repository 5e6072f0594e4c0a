# SPDX-License-Identifier: Apache-2.0
"""The plots about all links together."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

import altair as alt

from splitnet.names import DEVICE_ONLY, WORKER_ONLY

from . import theme, units
from .document import Link, Report, Row
from .plot import Plot, data, linear_axis, log_axis, place, place_color, place_shape, specification


def glance(report: Report) -> Plot:
    """For each link the chosen plan beside the baselines and the fastest split."""
    values = [_glance_value(link, row) for link in report.links for row in _glance_rows(link)]
    y = _link_axis(report)
    scale, axis = log_axis(min(value["latency"] for value in values), max(value["latency"] for value in values))
    x = alt.X("latency:Q", title="latency (ms, logarithmic)", scale=scale, axis=axis)
    base = alt.Chart(data(values)).encode(x=x, y=y)
    rings = base.transform_filter("datum.chosen").mark_point(size=420, shape="circle", strokeWidth=2, color=theme.INK)
    dots = base.mark_point(size=110, filled=True).encode(
        color=place_color(),
        shape=place_shape(),
        opacity=alt.condition("datum.by == 'measured'", alt.value(1), alt.value(0.4)),
        tooltip=[
            "link:N",
            "cut:N",
            "codec:N",
            alt.Tooltip("latency:Q", title="latency (ms)", format=".3~f"),
            alt.Tooltip("by:N"),
        ],
    )
    description = (
        f"Latency of device only, worker only and the fastest split on each of {len(report.links)} links, the chosen "
        "plan ringed. The same numbers stand in the table of verdicts."
    )
    return Plot(
        name="links",
        title="The chosen plan and the baselines, link by link",
        caption="Ringed: the chosen plan. Full marks are measured; pale ones only predicted. Links are named after "
        "their measured bandwidth (up/down) and round-trip time.",
        description=description,
        spec=specification(alt.layer(dots, rings), description, height=34 * len(report.links)),
    )


def regret(report: Report) -> Plot:
    """How much faster the fastest measured plan was than the chosen one, for each link."""
    values: list[dict[str, Any]] = [
        {"link": link.label, "regret": 100 * link.regret, "text": units.percent_text(link.regret)}
        for link in report.links
    ]
    regrets = [link.regret for link in report.links]
    scale = alt.Scale(domain=[min(0.0, 100 * min(regrets)), max(1.0, 100 * max(regrets))])
    base = alt.Chart(data(values)).encode(
        x=alt.X("regret:Q", title="regret (%)", scale=scale, axis=linear_axis()), y=_link_axis(report)
    )
    text = base.mark_text(align="left", dx=6).encode(x=alt.value("width"), text="text:N")
    figures = f"median {units.percent_text(median(regrets))}, worst {units.percent_text(max(regrets))}"
    description = f"Regret of the chosen plan on each of {len(regrets)} links: {figures}."
    bars = base.mark_bar(color=theme.SERIES[4], height=12)
    return Plot(
        name="regret",
        title="Regret",
        caption=f"Time of the chosen plan over that of the fastest measured one, less 1: {figures}. "
        "0\N{NO-BREAK SPACE}% means that no measured plan was faster.",
        description=description,
        spec=specification(alt.layer(bars, text), description, height=24 * len(report.links)),
    )


def prediction(report: Report) -> Plot:
    """Predicted against measured latency of every measured plan."""
    values = [_prediction_value(link, row) for link, row in report.measured_rows()]
    ends = [f(f(value["measured"], value["predicted"]) for value in values) for f in (min, max)]
    scale, axis = log_axis(*ends)
    x = alt.X("measured:Q", title="measured latency (ms, logarithmic)", scale=scale, axis=axis)
    y = alt.Y("predicted:Q", title="predicted latency (ms)", scale=scale, axis=axis)
    line = alt.Chart(data([{"measured": end, "predicted": end} for end in ends])).mark_line(
        color=theme.TERMS["wire"], strokeDash=[4, 3]
    )
    dots = (
        alt.Chart(data(values))
        .mark_point(size=60, filled=True, opacity=0.75)
        .encode(color=place_color(), shape=place_shape(), tooltip=["link:N", "cut:N", "codec:N", "error:N"])
    )
    figures = _error_figures([row for _, row in report.measured_rows()])
    description = f"Predicted against measured latency of {len(values)} plans: {figures}."
    return Plot(
        name="prediction",
        title="Predicted against measured",
        caption=f"Every measured plan on every link; on the dashed line both are the same. {figures.capitalize()}.",
        description=description,
        spec=specification(alt.layer(line.encode(x=x, y=y), dots.encode(x=x, y=y)), description, height=340),
    )


def _link_axis(report: Report) -> alt.Y:
    return alt.Y("link:N", sort=None, title=None, scale=alt.Scale(domain=[link.label for link in report.links]))


def _glance_rows(link: Link) -> list[Row]:
    rows = [
        link.baseline(DEVICE_ONLY),
        link.baseline(WORKER_ONLY),
        link.baseline(WORKER_ONLY, compressed=True),
        link.fastest_split(),
        link.chosen,
    ]
    return list({id(row): row for row in rows if row}.values())


def _plan_value(link: Link, row: Row) -> dict[str, Any]:
    return {"link": link.label, "cut": row.cut, "codec": row.codec, "place": place(row.cut, row.codec)}


def _glance_value(link: Link, row: Row) -> dict[str, Any]:
    return {
        **_plan_value(link, row),
        "latency": 1e3 * row.latency_s,
        "by": "measured" if row.measured else "predicted",
        "chosen": row is link.chosen,
    }


def _prediction_value(link: Link, row: Row) -> dict[str, Any]:
    return {
        **_plan_value(link, row),
        "measured": 1e3 * row.latency_s,
        "predicted": 1e3 * row.predicted.total_s,
        "error": units.percent_text(row.signed_error or 0.0),
    }


def _error_figures(rows: Sequence[Row]) -> str:
    errors = [abs(row.signed_error or 0.0) for row in rows]
    return f"median error {units.percent_text(median(errors))}, worst {units.percent_text(max(errors))}"
