# SPDX-License-Identifier: Apache-2.0
"""`splitnet layers`: the layers of a model, and what crosses a cut behind each of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from splitnet.cli.inputs import load_model
from splitnet.cli.options import InputFile, Inputs, Json, ModelFile
from splitnet.cli.output import Column, print_json, print_table
from splitnet.model_facts import model_facts
from splitnet.units import format_bytes

if TYPE_CHECKING:
    import splitnet

_NUMBERS = ("#", "parameters", "FLOPs", "boundary behind it")


def command(model: ModelFile, inputs: Inputs = None, input_file: InputFile = None, json: Json = False) -> None:
    """List the layers of a model, what crosses a cut behind each, and the cuts that are refused.

    Sizes of boundaries need the model's inputs: --input 1x3x224x224.
    """
    part = load_model(model, inputs, input_file, need_inputs=False)
    if json:
        print_json(document_of(part))
    else:
        _print(part)


def document_of(part: splitnet.Partitioner) -> dict[str, Any]:
    """What `--json` prints. Sizes, dtypes and FLOPs are null where the model has no example inputs, and those of
    boundaries behind the last layer, where no cut is."""
    from splitnet.layer_table import first_outputs

    has_sizes = bool(part.example_inputs)
    graph, cuts = part.layers, part.cuts()
    outputs = first_outputs(graph)
    return {
        "schema_version": 1,
        "model": model_facts(part),
        "input_bytes": _input_bytes(graph) if has_sizes else None,
        "cuts": len(cuts),
        "legal_cuts": sum(not cut.refusal for cut in cuts),
        "layers": [
            _layer_facts(index, layer, outputs.get(index), cuts[index] if index < len(cuts) else None, has_sizes)
            for index, layer in enumerate(graph.layers)
        ],
    }


def _layer_facts(
    index: int,
    layer: splitnet.Layer,
    output: splitnet.GraphValue | None,
    cut: splitnet.SequentialCut | None,
    has_sizes: bool,
) -> dict[str, Any]:
    return {
        "index": index,
        "name": layer.name,
        "module_path": layer.module_path,
        "operator": layer.operator_name,
        "control_flow": layer.control_flow,
        "dtype": output.dtype if output else None,
        "sizes": list(output.sizes) if output else None,
        "parameter_bytes": layer.parameter_bytes,
        "flops": layer.flops,
        "boundary_bytes": cut.boundary_bytes if cut and has_sizes else None,
        "refusal": cut.refusal or None if cut else None,
    }


def _input_bytes(graph: splitnet.LayerGraph) -> int:
    return sum(value.bytes for value in graph.values if value.producer < 0)


def _print(part: splitnet.Partitioner) -> None:
    from splitnet.layer_table import table_of, title_of

    graph, cuts = part.layers, part.cuts()
    head, *rows = table_of(graph, cuts)
    if part.example_inputs:
        rows.insert(0, _inputs_row(graph)[: len(head)])
    columns = [Column(name, is_number=name in _NUMBERS) for name in head]
    print_table(columns, rows, title_of(part.name, graph, cuts))


def _inputs_row(graph: splitnet.LayerGraph) -> tuple[str, ...]:
    """What worker only sends."""
    import splitnet

    return "", "(inputs)", "", splitnet.inputs_of(graph), "", "", format_bytes(_input_bytes(graph)), ""
