# SPDX-License-Identifier: Apache-2.0
"""`splitnet doctor`: whether this machine, its ports and a worker are as they should be, and what to do if not."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from splitnet.cli import library_checks, machine_checks
from splitnet.cli.checks import Check, fail
from splitnet.cli.failures import Failure, failure_of
from splitnet.cli.options import CaFile, InputFile, Inputs, Json, TokenFile
from splitnet.cli.output import emit, print_json, say

_DEFAULT_LISTEN = "tcp://127.0.0.1:7070"
_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


def command(
    model: Annotated[
        Path | None,
        typer.Argument(metavar="[MODEL.pt]", help="Check too that it can be cut, and that --worker has it."),
    ] = None,
    inputs: Inputs = None,
    input_file: InputFile = None,
    worker: Annotated[str | None, typer.Option(metavar="ENDPOINT", help="Check that a worker answers there.")] = None,
    listen: Annotated[
        str | None, typer.Option(metavar="ENDPOINT", help=f"Check that it is free. Default: {_DEFAULT_LISTEN}.")
    ] = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
    json: Json = False,
) -> None:
    """Check this machine, torch, ports and a worker, and say what to do about what is wrong.

    Exit code 1 when a check fails.
    """
    checks: list[Check] = []

    def add(name: str, check: Callable[[], Check]) -> Check:
        say(f"checking {name} …")
        checks.append(_attempted(name, check))
        return checks[-1]

    add("python", machine_checks.python)
    add("processors", machine_checks.processors)
    add("memory", machine_checks.memory)
    add("splitnet-worker", machine_checks.worker_program)
    if add("torch", machine_checks.torch).status != "fail":
        access = library_checks.Access(worker, token_file, ca_file)
        for name, check in library_checks.checks(access, listen, _DEFAULT_LISTEN, model, inputs, input_file):
            add(name, check)
    if json:
        print_json(
            {
                "schema_version": 1,
                "checks": [one.facts() for one in checks],
                "failed": sum(one.status == "fail" for one in checks),
                "warned": sum(one.status == "warn" for one in checks),
            }
        )
    else:
        _print(checks)
    failed = [one.name for one in checks if one.status == "fail"]
    if failed:
        raise Failure(f"{len(failed)} of {len(checks)} checks failed: {', '.join(failed)}")


def _attempted(name: str, check: Callable[[], Check]) -> Check:
    """What a check raises is what it found."""
    try:
        return check()
    except Exception as error:  # noqa: BLE001 (a check that breaks has failed, and the others go on)
        failure = failure_of(error)
        return fail(name, failure.sentence, failure.next_step)


def _print(checks: list[Check]) -> None:
    if sys.stdout.isatty():
        _print_in_colours(checks)
        return
    for one in checks:
        emit(f"{one.status:<4}  {one.name}: {one.found}" + (f"\n      try: {one.next_step}" if one.next_step else ""))


def _print_in_colours(checks: list[Check]) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(soft_wrap=True, highlight=False)
    for one in checks:
        console.print(Text.assemble((f"{one.status:<4}", _COLOURS[one.status]), f"  {one.name}: {one.found}"))
        if one.next_step:
            console.print(Text(f"      try: {one.next_step}"))
