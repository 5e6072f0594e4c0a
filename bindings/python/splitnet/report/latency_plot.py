# SPDX-License-Identifier: Apache-2.0
"""Latency against cut on one link."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt

from splitnet.names import DEVICE_ONLY, WORKER_ONLY

from . import theme, units
from .document import RAW, Link, Row, Times
from .plot import Choice, Plot, data, linear_axis, specification

BEST_CODEC = "the best for each cut, by prediction"

_NOT_MEASURED = "\N{EN DASH}"

# Bars longer than this many times the chosen plan's would leave nothing to see of those that matter.
_LONGEST_BAR = 4
# Names of cuts on a phone: what is left out is in the middle here too.
_CUT_LABEL = (
    "containerSize()[0] < 500 && length(datum.label) > 19"
    " ? slice(datum.label, 0, 7) + '\u2026' + slice(datum.label, length(datum.label) - 11) : datum.label"
)
# Their names are long: on a phone one below the other.
_BASELINE_COLUMNS = "containerSize()[0] < 500 ? 1 : 3"
# With more cuts than these there is room for one number a cut.
_MANY_CUTS = 30


def latency(link: Link) -> Plot:
    """Predicted beside measured latency of every cut as stacked terms, with the unsplit baselines."""
    rows = _drawn_rows(link)
    end_s = _axis_end_s(link)
    unit, per_s = ("s", 1.0) if end_s >= 10 else ("ms", 1e3)
    names = _cut_names(rows)
    many_cuts = len(names) > _MANY_CUTS
    values = _latency_values(link, rows, names, per_s, many_cuts)
    x = alt.X("time:Q", stack="zero", axis=linear_axis(60)).title(f"latency ({unit})")
    x = x.scale(domain=[0, end_s * per_s], clamp=True, nice=False)
    y = alt.Y("cut:N", sort=None, title="cut after", axis=alt.Axis(labelExpr=_CUT_LABEL, labelLimit=230, maxExtent=250))
    y = y.scale(domain=list(names.values()), padding=0.15)
    baselines = _baselines(link)
    description = _latency_description(link, baselines, end_s)
    base = alt.Chart(data(values)).transform_filter(
        f"(codec == codecs_best ? datum.best : datum.codec == codec) || datum.cut == '{DEVICE_ONLY}'"
    )
    chart = (
        alt.layer(
            _marked_rows(base, y),
            _bars(base, x, y, unit),
            _totals(base, y),
            _rules(baselines, x.stack(None), end_s, per_s),
        )
        .add_params(alt.param(name="codecs_best", value=BEST_CODEC), alt.param(name="codec", value=BEST_CODEC))
        .resolve_scale(strokeDash="independent")
    )
    codecs = sorted({row.codec_text for row in rows if row.codec_text})
    return Plot(
        name="latency",
        title="Latency against cut",
        caption=_latency_caption(link, baselines, end_s),
        description=description,
        spec=specification(chart, description, height=(16 if many_cuts else 30) * len(names)),
        choices=[Choice("codec", "Codec", [BEST_CODEC, *codecs])] if len(codecs) > 1 else [],
    )


# ---- Which rows, as which values.


def _drawn_rows(link: Link) -> list[Row]:
    """Of rows that read the same the one that is predicted to be the fastest."""
    drawn: dict[tuple[int, str], Row] = {}
    for row in sorted(link.rows, key=lambda row: row.predicted.total_s):
        drawn.setdefault((row.head_layers, row.codec_text), row)
    return sorted(drawn.values(), key=lambda row: row.head_layers)


def _axis_end_s(link: Link) -> float:
    longest = max(max(row.latency_s, row.predicted.total_s) for row in link.rows)
    return min(longest, _LONGEST_BAR * link.chosen.latency_s)


def _latency_values(
    link: Link, rows: Sequence[Row], names: dict[int, str], per_s: float, many_cuts: bool
) -> list[dict[str, Any]]:
    best: dict[int, Row] = {}
    for row in sorted(rows, key=lambda row: row.predicted.total_s):
        best.setdefault(row.head_layers, row)
    values = []
    for row in rows:
        common = {
            "cut": names[row.head_layers],
            "layers": row.head_layers,
            "codec": row.codec_text,
            "name": row.codec,
            "sent": units.size_text(row.bytes_up),
            "best": best[row.head_layers] is row,
            "mark": "chosen" if row is link.chosen else "fastest" if row is link.fastest else "",
        }
        for kind, times in (("predicted", row.predicted), ("measured", row.measured)):
            text = units.time_text(times.total_s) if times else _NOT_MEASURED
            shown = not many_cuts or (kind == "measured") == (row.measured is not None)
            values.append(common | {"kind": kind, "total": text, "label": text if shown else ""} | _terms(times, per_s))
    return values


def _terms(times: Times | None, per_s: float) -> dict[str, float]:
    return {term: per_s * (getattr(times, f"{term}_s") if times else 0) for term in theme.TERMS}


def _cut_names(rows: Sequence[Row]) -> dict[int, str]:
    """By layers in the head, in their order; short, and no two cuts have the same."""
    names = {row.head_layers: units.short_cut(row.cut) for row in rows}
    seen = list(names.values())
    return {layers: f"{layers}: {name}" if seen.count(name) > 1 else name for layers, name in names.items()}


# ---- The layers of the plot.


def _y_offset() -> alt.YOffset:
    return alt.YOffset("kind:N", scale=alt.Scale(domain=["predicted", "measured"]))


def _bars(base: alt.Chart, x: alt.X, y: alt.Y, unit: str) -> alt.Chart:
    terms = list(theme.TERMS)
    chart: alt.Chart = (
        base.transform_fold([*terms], as_=["term", "time"])
        .transform_calculate(order=f"indexof({terms}, datum.term)")
        .mark_bar()
        .encode(
            x=x,
            y=y,
            yOffset=_y_offset(),
            color=alt.Color(
                "term:N", scale=alt.Scale(domain=terms, range=list(theme.TERMS.values())), legend=alt.Legend(title=None)
            ),
            opacity=alt.Opacity(
                "kind:O",
                scale=alt.Scale(domain=["predicted", "measured"], range=[0.45, 1]),
                legend=alt.Legend(title=None, symbolFillColor=theme.TERMS["wire"], symbolStrokeWidth=0),
            ),
            order="order:Q",
            tooltip=[
                alt.Tooltip("cut:N"),
                alt.Tooltip("name:N", title="codec"),
                alt.Tooltip("sent:N"),
                alt.Tooltip("kind:N", title="bar"),
                alt.Tooltip("term:N"),
                alt.Tooltip("time:Q", title=f"term ({unit})", format=".3~f"),
                alt.Tooltip("total:N"),
            ],
        )
    )
    return chart


def _totals(base: alt.Chart, y: alt.Y) -> alt.Chart:
    texts = base.mark_text(align="left", dx=6, fontSize=11)
    chart: alt.Chart = texts.encode(x=alt.value("width"), y=y, yOffset=_y_offset(), text="label:N")
    return chart


def _marked_rows(base: alt.Chart, y: alt.Y) -> alt.Chart:
    """Behind the bars: the chosen row shaded; the fastest, when it is another one, outlined."""
    marked = base.transform_filter("datum.kind == 'measured' && datum.mark != ''")
    chart: alt.Chart = marked.mark_rect(stroke=theme.TERMS["wire"], color=theme.TERMS["wire"]).encode(
        x=alt.value(0),
        x2=alt.value("width"),
        y=y,
        fillOpacity=alt.condition("datum.mark == 'chosen'", alt.value(0.25), alt.value(0)),
        strokeOpacity=alt.condition("datum.mark == 'chosen'", alt.value(0), alt.value(1)),
    )
    return chart


def _rules(baselines: Sequence[tuple[str, Row]], x: alt.X, end_s: float, per_s: float) -> alt.Chart:
    values: list[dict[str, Any]] = [
        {"baseline": name, "time": per_s * row.latency_s} for name, row in baselines if row.latency_s <= end_s
    ]
    dashes = {name: dash for (name, _), dash in zip(baselines, ([1, 0], [7, 4], [2, 3]), strict=False)}
    chart: alt.Chart = (
        alt.Chart(data(values))
        .mark_rule(strokeWidth=1.5)
        .encode(
            x=x,
            strokeDash=alt.StrokeDash(
                "baseline:N",
                scale=alt.Scale(domain=list(dashes), range=list(dashes.values())),
                legend=alt.Legend(title=None, symbolSize=200, columns=alt.ExprRef(_BASELINE_COLUMNS)),
            ),
            tooltip=[alt.Tooltip("baseline:N"), alt.Tooltip("time:Q", format=".3~f")],
        )
    )
    return chart


# ---- Words.


def _baselines(link: Link) -> list[tuple[str, Row]]:
    found = [
        (DEVICE_ONLY, link.baseline(DEVICE_ONLY)),
        (f"{WORKER_ONLY}, {RAW}", link.baseline(WORKER_ONLY)),
        (f"{WORKER_ONLY}, best codec", link.baseline(WORKER_ONLY, compressed=True)),
    ]
    return [(name, row) for name, row in found if row]


def _latency_caption(link: Link, baselines: Sequence[tuple[str, Row]], end_s: float) -> str:
    text = "The fainter upper bar is predicted, the lower one measured, with their totals on the right. Shaded: the chosen plan"
    text += "." if link.fastest is link.chosen else "; outlined: the fastest measured one, where its codec is shown."
    if any(row.not_measured for row in link.rows):
        text += f" {_NOT_MEASURED}: not measured; the table says why."
    beyond = [f"{name} ({units.time_text(row.latency_s)})" for name, row in baselines if row.latency_s > end_s]
    if any(max(row.latency_s, row.predicted.total_s) > end_s for row in link.rows):
        text += f" The axis ends at {_LONGEST_BAR} times the chosen plan's latency: longer bars are cut off there."
    return f"{text} Beyond its end: {', '.join(beyond)}." if beyond else text


def _latency_description(link: Link, baselines: Sequence[tuple[str, Row]], end_s: float) -> str:
    totals = ", ".join(f"{name} {units.time_text(row.latency_s)}" for name, row in baselines)
    return (
        f"Stacked bars of head, encode, wire, decode and tail for each cut on {link.label}, predicted beside measured, "
        f"up to {units.time_text(end_s)}. Baselines: {totals}. All numbers stand in the table of plans."
    )
