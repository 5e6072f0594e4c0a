# SPDX-License-Identifier: Apache-2.0
"""`splitnet split`: the stages of a model as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from splitnet.cli.failures import Failure
from splitnet.cli.inputs import load_model, tensors_in
from splitnet.cli.options import InputFile, Inputs, Json, ModelFile
from splitnet.cli.output import Column, beside, print_json, print_table
from splitnet.errors import Unavailable
from splitnet.model_facts import model_facts
from splitnet.units import format_bytes

if TYPE_CHECKING:
    import splitnet


def command(
    model: ModelFile,
    after: Annotated[
        list[str],
        typer.Option(metavar="LAYER", help="Cut behind this layer or module; repeated, in order, for more stages."),
    ],
    output_dir: Annotated[Path, typer.Option(metavar="DIR", help="Where the files go; made if it is not there.")],
    inputs: Inputs = None,
    input_file: InputFile = None,
    json: Json = False,
) -> None:
    """Cut a model into stages, and write each with only the parameters that it needs.

    `splitnet.load_stage` loads them on machines that never saw the model. Each takes what the one before it gives.
    """
    part = load_model(model, inputs, input_file, need_inputs=False)
    stages = part.split(cuts=after)
    if not all(stage.info.outputs for stage in stages):
        raise Failure("a cut behind the last layer leaves nothing to the stage behind it", "--after an earlier layer")
    output_dir.mkdir(parents=True, exist_ok=True)
    known = _values_by_id(stages, part.example_inputs)
    written = []
    for index, stage in enumerate(stages):
        path = output_dir / f"{part.name}.stage{index}.pt"
        _write(stage, path)
        written.append(_facts(stage, path, known))
    if json:
        print_json({"schema_version": 1, "model": model_facts(part), "stages": written})
    else:
        _print(written)


def _write(stage: splitnet.Stage, path: Path) -> None:
    with beside(path) as draft:
        try:
            stage.save(str(draft))
        except Unavailable as error:
            raise OSError(str(error)) from error


def _values_by_id(stages: list[splitnet.Stage], inputs: list[Any]) -> dict[int, Any]:
    """What passes between the stages for these inputs; nothing without any."""
    if not inputs:
        return {}
    known = {value.id: given for value, given in zip(stages[0].info.inputs, inputs, strict=True)}
    for stage in stages:
        results = stage.run([known[value.id] for value in stage.info.inputs])
        known.update(zip((value.id for value in stage.info.outputs), results, strict=True))
    return known


def _facts(stage: splitnet.Stage, path: Path, known: dict[int, Any]) -> dict[str, Any]:
    info = stage.info
    return {
        "file": str(path),
        "file_bytes": path.stat().st_size,
        "parameter_bytes": info.parameter_bytes,
        "takes": [_value_facts(value, known) for value in info.inputs],
        "gives": [
            {**_value_facts(value, known), "is_boundary": position < info.boundary_count}
            for position, value in enumerate(info.outputs)
        ],
    }


def _value_facts(value: splitnet.StageValue, known: dict[int, Any]) -> dict[str, Any]:
    """With dtype and sizes where it is a tensor that is known."""
    tensors = tensors_in(known.get(value.id)) if value.type == "Tensor" else []
    one = tensors[0] if tensors else {"dtype": None, "sizes": None}
    return {"id": value.id, "type": value.type, **one}


def _print(stages: list[dict[str, Any]]) -> None:
    columns = [Column("file"), Column("size", is_number=True), Column("parameters", is_number=True)]
    rows = [
        [
            stage["file"],
            format_bytes(stage["file_bytes"]),
            format_bytes(stage["parameter_bytes"]),
            _values(stage["takes"]),
            _values(stage["gives"]),
        ]
        for stage in stages
    ]
    print_table([*columns, Column("takes"), Column("gives")], rows)


def _values(values: list[dict[str, Any]]) -> str:
    return ", ".join(
        f"#{value['id']} " + (f"{value['dtype']}{value['sizes']}" if value["dtype"] else value["type"])
        for value in values
    )
