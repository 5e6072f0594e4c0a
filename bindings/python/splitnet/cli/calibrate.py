# SPDX-License-Identifier: Apache-2.0
"""`splitnet calibrate`: what codecs do to the model's answers."""

from __future__ import annotations

import json as json_format
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from splitnet.cli.failures import Failure
from splitnet.cli.inputs import load_values, load_with
from splitnet.cli.options import Json, ModelFile, OutputFile, Threads
from splitnet.cli.output import Column, check_writable, print_json, print_table, save_text, to_text
from splitnet.cli.progress import progress
from splitnet.names import cut_name, short_codec

if TYPE_CHECKING:
    import splitnet

_COLUMNS = [
    Column("cut"),
    Column("codec"),
    Column("times smaller", is_number=True),
    Column("same answers", is_number=True),
    Column("95 %", is_number=True),
    Column("divergence, nat", is_number=True),
]
_FEWEST_EXAMPLES = 4


class OutputKind(str, Enum):
    """What the model's output is, which says how a change of it counts."""

    logits = "logits"
    probabilities = "probabilities"
    embedding = "embedding"
    numbers = "numbers"


def command(
    model: ModelFile,
    examples: Annotated[
        Path,
        typer.Option(
            metavar="FILE.pt",
            help="Inputs like those that will come, saved by torch.save: one tensor of which each row is an example "
            "(a batch of 1), or a list of which each element is one (a tensor, or a list of inputs).",
        ),
    ],
    after: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LAYER", help="Calibrate the cut behind this layer; may be repeated. Default: three cuts."
        ),
    ] = None,
    output_kind: Annotated[OutputKind, typer.Option(help="What the model's output is.")] = OutputKind.logits,
    pixels: Annotated[
        str, typer.Option(metavar="mean=…;std=…", help="How inputs are made of pictures: try JPEG and WebP too.")
    ] = "",
    threads: Threads = 0,
    output: OutputFile = None,
    json: Json = False,
) -> None:
    """Measure what each codec does to the model's answers at some cuts, on examples.

    `plan`, `run` and `sweep` take what --output writes as --calibration.
    """
    check_writable(output)
    rows = load_examples(examples)
    part = load_with(model, rows[0], other_inputs="--examples of the shape that the model takes, with a batch of 1")
    calibration = _calibrate(part, rows, after or [], output_kind, pixels, threads)
    document = json_format.loads(calibration.to_json())
    if output:
        save_text(output, to_text(document) + "\n")
    if json:
        print_json(document)
    else:
        _print(part, calibration)


def load_examples(path: Path) -> list[list[Any]]:
    """For each example the model's inputs. Raises Failure."""
    import torch

    content = load_values(path)
    if len(content) == 1 and isinstance(content[0], torch.Tensor):
        content = [content[0][i : i + 1] for i in range(len(content[0]))] if content[0].dim() else []
    if len(content) < _FEWEST_EXAMPLES:
        raise Failure(
            f"{path} holds {len(content)} examples, expected at least {_FEWEST_EXAMPLES}",
            'some hundreds of typical inputs: torch.save(torch.stack(inputs), "examples.pt")',
        )
    return [list(one) if isinstance(one, list | tuple) else [one] for one in content]


def _calibrate(
    part: splitnet.Partitioner,
    examples: list[list[Any]],
    after: list[str],
    output_kind: OutputKind,
    pixels: str,
    threads: int,
) -> splitnet.Calibration:
    import splitnet

    with progress("calibrating codecs") as step:
        options = splitnet.CalibrationOptions(
            output=splitnet.OutputKind[output_kind.value],
            cuts=[splitnet.Cut.after(name) for name in after],
            pixels=pixels,
            stage=splitnet.StageOptions(threads=threads),
            progress=step,
        )
        return splitnet.calibrate(part, examples, options)


def _print(part: splitnet.Partitioner, calibration: splitnet.Calibration) -> None:
    rows = [
        [
            cut_name(part.layers, one.profile.head),
            short_codec(one.profile.name),
            f"{1 / one.profile.ratio:.3g}",
            f"{one.effect.agreement:.2%}",
            f"{one.effect.agreement_low:.1%} … {one.effect.agreement_high:.1%}",
            f"{one.effect.divergence_nat:.2g}",
        ]
        for one in calibration.codecs
    ]
    examples = calibration.codecs[0].effect.examples if calibration.codecs else 0
    print_table(_COLUMNS, rows, f"{part.name}: codecs, judged by {examples} examples that they have not seen")
