# SPDX-License-Identifier: Apache-2.0
"""The table of layers and cuts, for terminals and notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from splitnet import _core
from splitnet.html_table import html_table
from splitnet.units import format_bytes, format_count

if TYPE_CHECKING:
    from splitnet.partitioner import SequentialCut

_COLUMNS = ("#", "layer", "operator", "output", "parameters", "FLOPs", "boundary behind it", "refused")
_SHOWN_AT_EACH_END = 30


def title_of(name: str, graph: _core.LayerGraph, cuts: Sequence[SequentialCut]) -> str:
    """How many layers, and how many of the cuts are legal."""
    if not cuts:
        return f"{name}: {len(graph.layers)} layers"
    legal = sum(not cut.refusal for cut in cuts)
    return f"{name}: {len(graph.layers)} layers, {legal} of {len(cuts)} cuts behind a layer are legal"


def table_of(graph: _core.LayerGraph, cuts: Sequence[SequentialCut]) -> list[tuple[str, ...]]:
    """The names of the columns, and a row for each layer; refusals, which are rare, have a column where there are some.
    Sizes are empty where the graph was made without example inputs."""
    outputs = first_outputs(graph)
    rows = [
        _row(index, layer, outputs.get(index), cuts[index] if index < len(cuts) else None, has_sizes=bool(outputs))
        for index, layer in enumerate(graph.layers)
    ]
    shown = len(_COLUMNS) if any(row[-1] for row in rows) else len(_COLUMNS) - 1
    return [row[:shown] for row in (_COLUMNS, *rows)]


def first_outputs(graph: _core.LayerGraph) -> dict[int, _core.GraphValue]:
    """Of each layer, by its number, the first tensor that it gives."""
    outputs: dict[int, _core.GraphValue] = {}
    for value in graph.values:
        if value.producer >= 0 and value.dtype:
            outputs.setdefault(value.producer, value)
    return outputs


def _row(
    index: int, layer: _core.Layer, output: _core.GraphValue | None, cut: SequentialCut | None, *, has_sizes: bool
) -> tuple[str, ...]:
    return (
        str(index),
        layer.name,
        layer.operator_name,
        f"{output.dtype}{list(output.sizes)}" if output else "",
        format_bytes(layer.parameter_bytes) if layer.parameter_bytes else "",
        "" if layer.flops is None else format_count(layer.flops),
        format_bytes(cut.boundary_bytes) if cut and has_sizes else "",
        cut.refusal if cut else "",
    )


def text_of_layers(name: str, graph: _core.LayerGraph, cuts: Sequence[SequentialCut]) -> str:
    """At most 60 layers: the first and the last ones."""
    head, *rows = table_of(graph, cuts)
    left_out = len(rows) - 2 * _SHOWN_AT_EACH_END
    if left_out > 0:
        gap = ("…", f"{left_out} more layers", *[""] * (len(head) - 2))
        rows = [*rows[:_SHOWN_AT_EACH_END], gap, *rows[-_SHOWN_AT_EACH_END:]]
    widths = [max(map(len, cells)) for cells in zip(head, *rows, strict=True)]
    return "\n".join([title_of(name, graph, cuts), *(_line(row, widths) for row in (head, *rows))])


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def html_of_layers(name: str, graph: _core.LayerGraph, cuts: Sequence[SequentialCut]) -> str:
    """All layers, in a box that scrolls."""
    head, *rows = table_of(graph, cuts)
    return f"<p>{escape(title_of(name, graph, cuts))}</p>{html_table(head, rows)}"


def html_of_graph(graph: _core.LayerGraph) -> str:
    """The same without what only the model knows: its name, and which cuts are refused."""
    return html_of_layers("layer graph", graph, ())
