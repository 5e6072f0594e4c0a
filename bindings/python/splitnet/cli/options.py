# SPDX-License-Identifier: Apache-2.0
"""Arguments and options that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from splitnet.cli.failures import WrongUsage
from splitnet.errors import InvalidArgument

Parsed = TypeVar("Parsed")

ModelFile = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL.pt", help="A TorchScript file. A model is a program: take only files that you trust."
    ),
]
Inputs = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        metavar="SHAPE[:DTYPE]",
        help="One of the model's inputs, all ones, as 1x3x224x224 or 1x128:i64; once for each, in order.",
    ),
]
InputFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE.pt", help="The inputs instead: a tensor, or a list of inputs, saved by torch.save."),
]
Endpoint = Annotated[
    str, typer.Option("--worker", metavar="ENDPOINT", help="Where the worker listens, as tcp://127.0.0.1:7070.")
]
TokenFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="A file whose first line is the worker's token.", rich_help_panel="Worker"),
]
CaFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Authorities (PEM) to check the worker's certificate with, for tls:// and https://.",
        rich_help_panel="Worker",
    ),
]
Threads = Annotated[int, typer.Option(min=0, help="That one pass on this machine may use; 0 leaves it to torch.")]
Codecs = Annotated[
    list[str] | None,
    typer.Option(
        "--codec",
        metavar="NAME",
        help="A codec to choose from beside raw, as int8 or 'int8:per=channel;lossless=zstd'; may be repeated.",
    ),
]
CalibrationFile = Annotated[
    Path | None, typer.Option("--calibration", metavar="FILE", help="What `splitnet calibrate --output` wrote.")
]
OutputFile = Annotated[Path | None, typer.Option("--output", metavar="FILE", help="Write it to a file.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")]


class Objective(str, Enum):
    """What a plan makes small."""

    latency = "latency"
    throughput = "throughput"


def parsed(option: str, text: str, parse: Callable[[str], Parsed]) -> Parsed:
    """What the text of an option means. What it does not mean is wrong usage."""
    try:
        return parse(text)
    except InvalidArgument as error:
        raise WrongUsage(f"{option}: {error}") from error


def parsed_or_none(option: str, text: str | None, parse: Callable[[str], Parsed]) -> Parsed | None:
    """As `parsed`, for an option that may be absent."""
    return None if text is None else parsed(option, text, parse)
