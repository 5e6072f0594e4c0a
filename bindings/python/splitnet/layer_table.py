# SPDX-License-Identifier: Apache-2.0
"""The table of layers and cuts, for terminals and notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from splitnet import _core
from splitnet.units import format_bytes, format_count

if TYPE_CHECKING:
    from splitnet.partitioner import SequentialCut

_HEAD = ("#", "layer", "operator", "output", "parameters", "FLOPs", "boundary behind it")
_SHOWN_AT_EACH_END = 30


def _outputs(graph: _core.LayerGraph) -> dict[int, str]:
    shapes: dict[int, str] = {}
    for value in graph.values:
        if value.producer >= 0 and value.dtype:
            shapes.setdefault(value.producer, f"{value.dtype}{list(value.sizes)}")
    return shapes


def _rows(graph: _core.LayerGraph, cuts: Sequence[SequentialCut]) -> list[tuple[str, ...]]:
    shapes = _outputs(graph)
    rows: list[tuple[str, ...]] = []
    for index, layer in enumerate(graph.layers):
        cut = cuts[index] if index < len(cuts) else None
        behind = "" if cut is None else f"refused: {cut.refusal}" if cut.refusal else format_bytes(cut.boundary_bytes)
        rows.append(
            (
                str(index),
                layer.name,
                layer.operator_name,
                shapes.get(index, ""),
                format_bytes(layer.parameter_bytes) if layer.parameter_bytes else "",
                "" if layer.flops is None else format_count(layer.flops),
                behind,
            )
        )
    return rows


def _title(name: str, graph: _core.LayerGraph, cuts: Sequence[SequentialCut]) -> str:
    if not cuts:
        return f"{name}: {len(graph.layers)} layers"
    legal = sum(not cut.refusal for cut in cuts)
    return f"{name}: {len(graph.layers)} layers, {legal} of {len(cuts)} cuts behind a layer are legal"


def text_of_layers(name: str, graph: _core.LayerGraph, cuts: Sequence[SequentialCut]) -> str:
    """At most 60 lines: the first and the last layers."""
    rows = _rows(graph, cuts)
    left_out = len(rows) - 2 * _SHOWN_AT_EACH_END
    if left_out > 0:
        gap = ("…", f"{left_out} more layers", *[""] * (len(_HEAD) - 2))
        rows = [*rows[:_SHOWN_AT_EACH_END], gap, *rows[-_SHOWN_AT_EACH_END:]]
    widths = [max(len(row[column]) for row in [_HEAD, *rows]) for column in range(len(_HEAD))]
    return "\n".join([_title(name, graph, cuts), *(_line(row, widths) for row in [_HEAD, *rows])])


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def html_of_layers(name: str, graph: _core.LayerGraph, cuts: Sequence[SequentialCut]) -> str:
    """All layers, in a box that scrolls."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in _HEAD)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in _rows(graph, cuts))
    return (
        f"<p>{escape(_title(name, graph, cuts))}</p>"
        '<div style="max-height: 30em; overflow: auto">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def html_of_graph(graph: _core.LayerGraph) -> str:
    """The same without what only the model knows: its name, and which cuts are refused."""
    return html_of_layers("layer graph", graph, ())
