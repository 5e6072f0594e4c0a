# SPDX-License-Identifier: Apache-2.0
"""Plans as tables in notebooks."""

from __future__ import annotations

from html import escape

from splitnet import _core
from splitnet.html_table import html_table
from splitnet.names import DEVICE_ONLY, cut_name
from splitnet.units import format_bytes, format_time

_COLUMNS = ("cut", "codec", "latency", "head", "sent", "wire", "tail", "breaks")
_SHOWN = 20


def cut_of(graph: _core.LayerGraph, assignment: _core.Assignment) -> str:
    """As `cut_name`; of several cuts the layers with → between them."""
    heads = assignment.heads
    if len(heads) < 2:
        return cut_name(graph, heads[0]) if heads else DEVICE_ONLY
    return "after " + " → ".join(graph.layers[head[-1]].name if head else "the input" for head in heads)


def html_of_plan(problem: _core.PlanningProblem, plan: _core.Plan, verdict: str) -> str:
    """The best candidates with their terms, and the verdict."""
    candidates = plan.candidates
    shown = candidates[:_SHOWN]
    table = html_table(
        _COLUMNS,
        (_row(problem, candidate) for candidate in shown),
        marked=[index for index, candidate in enumerate(shown) if candidate == plan.chosen],
    )
    left_out = f"<p>The best {_SHOWN} of {len(candidates)} plans.</p>" if len(candidates) > _SHOWN else ""
    return f"<pre>{escape(verdict.strip())}</pre>{table}{left_out}"


def _row(problem: _core.PlanningProblem, candidate: _core.Candidate) -> tuple[str, ...]:
    cost = candidate.cost
    hops = cost.hops
    return (
        cut_of(problem.graph, candidate.assignment),
        ", ".join(candidate.assignment.codecs),
        format_time(cost.latency_s),
        format_time(cost.stages[0].compute_s),
        format_bytes(sum(hop.bytes_up for hop in hops)) if hops else "",
        format_time(sum(hop.overhead_s + hop.rtt_s + hop.up_s + hop.down_s for hop in hops)) if hops else "",
        format_time(sum(stage.compute_s for stage in cost.stages[1:])) if hops else "",
        candidate.violates,
    )
