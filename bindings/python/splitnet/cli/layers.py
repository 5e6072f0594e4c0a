# SPDX-License-Identifier: Apache-2.0
"""`splitnet layers`: the layers of a model, and what crosses a cut behind each of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from splitnet.cli.inputs import load_model, model_facts
from splitnet.cli.options import InputFile, Inputs, Json, ModelFile
from splitnet.cli.output import Column, print_json, print_table
from splitnet.units import format_bytes, format_count

if TYPE_CHECKING:
    import splitnet

_COLUMNS = [
    Column("#", is_number=True),
    Column("layer"),
    Column("operator"),
    Column("output"),
    Column("parameters", is_number=True),
    Column("FLOPs", is_number=True),
    Column("boundary behind it", is_number=True),
    Column("refused"),
]


def command(model: ModelFile, inputs: Inputs = None, input_file: InputFile = None, json: Json = False) -> None:
    """List the layers of a model, what crosses a cut behind each, and the cuts that are refused.

    Sizes of boundaries need the model's inputs: --input 1x3x224x224.
    """
    part = load_model(model, inputs, input_file, need_inputs=False)
    document = document_of(part)
    if json:
        print_json(document)
    else:
        _print(document)


def document_of(part: splitnet.Partitioner) -> dict[str, Any]:
    """What `--json` prints. Sizes, dtypes and FLOPs are null where the model has no example inputs, and those of
    boundaries behind the last layer, where no cut is."""
    has_sizes = bool(part.example_inputs)
    graph, cuts = part.layers, part.cuts()
    outputs: dict[int, Any] = {}
    for value in graph.values:
        if value.dtype:
            outputs.setdefault(value.producer, value)
    layers = []
    for index, layer in enumerate(graph.layers):
        cut = cuts[index] if index < len(cuts) else None
        output = outputs.get(index)
        layers.append(
            {
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
        )
    sent_whole = sum(value.bytes for value in graph.values if value.producer < 0)
    return {
        "schema_version": 1,
        "model": model_facts(part),
        "input_bytes": sent_whole if has_sizes else None,
        "cuts": len(cuts),
        "legal_cuts": sum(not cut.refusal for cut in cuts),
        "layers": layers,
    }


def _print(document: dict[str, Any]) -> None:
    model, inputs = document["model"], document["input_bytes"]
    title = (
        f"{model['name']}: {model['layers']} layers, {document['legal_cuts']} of {document['cuts']} cuts behind a "
        "layer are legal"
    )
    before = ["", "(inputs)", "", model["inputs"], "", "", format_bytes(inputs), ""] if inputs is not None else None
    rows = ([before] if before else []) + [_row(layer) for layer in document["layers"]]
    shown = len(_COLUMNS) if any(row[-1] for row in rows) else len(_COLUMNS) - 1  # Refusals are rare.
    print_table(_COLUMNS[:shown], [row[:shown] for row in rows], title)


def _row(layer: dict[str, Any]) -> list[str]:
    return [
        str(layer["index"]),
        layer["name"],
        layer["operator"],
        f"{layer['dtype']}{layer['sizes']}" if layer["dtype"] else "",
        format_bytes(layer["parameter_bytes"]) if layer["parameter_bytes"] else "",
        "" if layer["flops"] is None else format_count(layer["flops"]),
        "" if layer["boundary_bytes"] is None else format_bytes(layer["boundary_bytes"]),
        layer["refusal"] or "",
    ]
