# SPDX-License-Identifier: Apache-2.0
"""Runs as pictures: messages, workers and latency over time, a column for each load, a colour and a dash for each policy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import altair

from elastic_pool.summaries import Run

MESSAGES, WORKERS, LATENCY = "messages in the queue", "workers", "latency, s"
_MOST_POINTS = 400
_DASHES = [[1, 0], [6, 6], [2, 2]]  #: Of the policies: a line that lies on another one hides no more than parts of it.


def plot(runs: Sequence[Run], title: str) -> altair.VConcatChart:
    """Workers are those that take requests or start; latency is the greatest of the requests that came in each part of
    the time."""
    rows = [_chart(panel, list(points)) for panel, points in _panels(runs).items()]
    chart: altair.VConcatChart = altair.vconcat(*rows).properties(title=title)
    return chart


def write(chart: altair.VConcatChart, path: Path) -> None:
    """By its ending: .svg, .html (which needs nothing from elsewhere) or .png."""
    chart.save(str(path), inline=path.suffix == ".html")


def _panels(runs: Sequence[Run]) -> dict[str, list[dict[str, Any]]]:
    return {
        MESSAGES: [point for run in runs for point in _of_samples(run, lambda one: one.waiting + one.in_flight)],
        WORKERS: [point for run in runs for point in _of_samples(run, lambda one: one.running + one.starting)],
        LATENCY: [point for run in runs for point in _of_requests(run)],
    }


def _chart(panel: str, points: list[dict[str, Any]]) -> altair.FacetChart:
    shapes = list(dict.fromkeys(point["load"] for point in points))
    base = altair.Chart(altair.InlineData(points))
    marks = {
        MESSAGES: base.mark_line(strokeWidth=1.5),
        WORKERS: base.mark_line(strokeWidth=1.5, interpolate="step-after"),
        LATENCY: base.mark_circle(size=18, opacity=0.9),  # Where nothing came there is none.
    }
    drawn = marks[panel].encode(
        x=altair.X("time:Q", title="s", scale=altair.Scale(domain=[0, max(point["end"] for point in points)])),
        y=altair.Y("value:Q", title=panel),
        color=altair.Color("policy:N", title="policy", sort=None, legend=altair.Legend(labelLimit=0)),
    )
    if panel != LATENCY:
        dashes = altair.Scale(range=_DASHES)
        drawn = drawn.encode(strokeDash=altair.StrokeDash("policy:N", sort=None, scale=dashes, legend=None))
    facet: altair.FacetChart = drawn.properties(width=260, height=130).facet(
        column=altair.Column("load:N", title=None, sort=shapes)
    )
    return facet


def _of_samples(run: Run, value: Any) -> Iterable[dict[str, Any]]:
    samples = run.outcome.samples
    every = max(1, len(samples) // _MOST_POINTS)
    for sample in samples[::every]:
        yield _point(run, sample.time_s, value(sample))


def _of_requests(run: Run) -> Iterable[dict[str, Any]]:
    if not run.outcome.requests:
        return
    part_s = max(arrived for arrived, _ in run.outcome.requests) / 60 or 1.0
    greatest: dict[int, float] = {}
    for arrived_s, latency_s in run.outcome.requests:
        part = int(arrived_s / part_s)
        greatest[part] = max(latency_s, greatest.get(part, 0.0))
    for part, latency_s in sorted(greatest.items()):
        yield _point(run, (part + 0.5) * part_s, latency_s)


def _point(run: Run, time_s: float, value: float) -> dict[str, Any]:
    end_s = run.outcome.samples[-1].time_s
    return {"load": run.shape, "policy": run.policy, "time": round(time_s, 3), "value": round(value, 4), "end": end_s}
