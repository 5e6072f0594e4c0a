# SPDX-License-Identifier: Apache-2.0
"""Plans as tables in notebooks."""

from __future__ import annotations

from html import escape

from splitnet import _core
from splitnet.units import format_bytes, format_time

_SHOWN = 20


def cut_of(graph: _core.LayerGraph, assignment: _core.Assignment) -> str:
    """For people: "device only", "worker only", "after features.3"; of several cuts the layers with → between them."""
    if not assignment.heads:
        return "device only"
    names = [graph.layers[head[-1]].name if head else "the input" for head in assignment.heads]
    if len(names) == 1 and not assignment.heads[0]:
        return "worker only"
    return "after " + " → ".join(names)


def html_of_plan(problem: _core.PlanningProblem, plan: _core.Plan, verdict: str) -> str:
    """The best candidates with their terms, and the verdict."""
    head = "".join(f"<th>{name}</th>" for name in ("cut", "codec", "latency", "head", "sent", "wire", "tail", "breaks"))
    rows = "".join(_row(problem, candidate, candidate == plan.chosen) for candidate in plan.candidates[:_SHOWN])
    return f"<pre>{escape(verdict.strip())}</pre><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>" + (
        f"<p>The best {_SHOWN} of {len(plan.candidates)} plans.</p>" if len(plan.candidates) > _SHOWN else ""
    )


def _row(problem: _core.PlanningProblem, candidate: _core.Candidate, is_chosen: bool) -> str:
    cost = candidate.cost
    hops = cost.hops
    cells = (
        cut_of(problem.graph, candidate.assignment),
        ", ".join(candidate.assignment.codecs),
        format_time(cost.latency_s),
        format_time(cost.stages[0].compute_s),
        format_bytes(sum(hop.bytes_up for hop in hops)) if hops else "",
        format_time(sum(hop.overhead_s + hop.rtt_s + hop.up_s + hop.down_s for hop in hops)) if hops else "",
        format_time(sum(stage.compute_s for stage in cost.stages[1:])) if hops else "",
        candidate.violates,
    )
    tag = "th" if is_chosen else "td"
    return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"
