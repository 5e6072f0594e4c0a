# SPDX-License-Identifier: Apache-2.0
"""The best plan over bandwidth and speed ratio, by prediction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import altair as alt

from . import theme, units
from .document import SPLIT, MapCell, PlanMap
from .plot import Plot, data, place, place_color, specification

# Where cells are narrower than so many pixels there is no room for numbers.
_NARROWEST_NUMBER = 28


def plan_map(found: PlanMap) -> Plot:
    """One cell for each bandwidth and speed ratio."""
    values = [_value(cell) for cell in found.cells]
    columns, rows = (len({value[key] for value in values}) for key in ("bandwidth", "ratio"))
    axis = alt.Axis(format=".3~r", labelAngle=0, labelOverlap="greedy", labelSeparation=6)
    base = alt.Chart(data(values)).encode(
        x=alt.X("bandwidth:O", title="bandwidth (Mbit/s)", axis=axis),
        y=alt.Y("ratio:O", sort="descending", title="speed ratio (device / worker time)", axis=axis),
    )
    description = _description(values)
    return Plot(
        name="map",
        title="Best plan over bandwidth and speed ratio",
        caption="Predicted, for one inference and a round-trip time of "
        f"{units.time_text(found.rtt_s)}. The speed ratio is the device's time for the whole model over the worker's. "
        "Numbers in cells that are split: percent faster than the better of device only and worker only.",
        description=description,
        spec=specification(alt.layer(_cells(base), _gains(base, columns)), description, height=26 * rows),
    )


def _value(cell: MapCell) -> dict[str, Any]:
    kind = place(cell.cut, cell.codec)
    return {
        "bandwidth": cell.bandwidth_bit_per_s / 1e6,
        "ratio": cell.speed_ratio,
        "place": kind,
        "cut": cell.cut,
        "codec": cell.codec,
        "latency": units.time_text(cell.latency_s),
        "device_only": units.time_text(cell.device_only_s),
        "worker_only": units.time_text(cell.worker_only_s),
        "gain": f"{100 * cell.gain:.0f}" if kind == SPLIT else "",
    }


def _cells(base: alt.Chart) -> alt.Chart:
    chart: alt.Chart = base.mark_rect(stroke=theme.PAPER, strokeWidth=1).encode(
        color=place_color(),
        tooltip=["bandwidth:Q", "ratio:Q", "cut:N", "codec:N", "latency:N", "device_only:N", "worker_only:N"],
    )
    return chart


def _gains(base: alt.Chart, columns: int) -> alt.Chart:
    opacity = alt.ExprRef(f"width / {columns} < {_NARROWEST_NUMBER} ? 0 : 1")
    texts = base.mark_text(fontSize=11, color="white", style="on-color", opacity=opacity)
    chart: alt.Chart = texts.encode(text="gain:N")
    return chart


def _description(values: Sequence[dict[str, Any]]) -> str:
    counts = Counter(value["place"] for value in values)
    listed = ", ".join(f"{kind} in {counts[kind]}" for kind in theme.PLACES if counts[kind])
    return f"Best plan by prediction over bandwidth and speed ratio, of {len(values)} cells: {listed}."
