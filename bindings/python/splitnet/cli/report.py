# SPDX-License-Identifier: Apache-2.0
"""`splitnet report`: a sweep as a page to read, and its plots as pictures."""

from __future__ import annotations

import json as json_format
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from splitnet.cli.failures import Failure
from splitnet.cli.output import check_writable, emit, save_text

Result = TypeVar("Result")


def command(
    sweep: Annotated[
        Path, typer.Argument(metavar="SWEEP.json", help="What `splitnet sweep --output` wrote, or --json printed.")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FILE.html", help="Default: SWEEP.html, beside SWEEP.json.")
    ] = None,
    pngs: Annotated[Path | None, typer.Option(metavar="DIR", help="Write the plots as pictures too.")] = None,
) -> None:
    """Make a page of a sweep, to read without a network, and print the names of the files made."""
    page = output or sweep.with_suffix(".html")
    check_writable(page)
    document = _read(sweep)
    save_report(document, page)
    written = [page, *(save_pngs(document, pngs) if pngs else ())]
    emit("\n".join(map(str, written)))


def save_report(document: Mapping[str, Any], path: Path) -> None:
    """The page. Raises Failure."""
    import splitnet.report as report

    save_text(path, _understood(lambda: report.render(document)))


def save_pngs(document: Mapping[str, Any], folder: Path) -> list[Path]:
    """The plots; the folder is made if it is not there. Raises Failure."""
    import splitnet.report as report

    try:
        folder.mkdir(parents=True, exist_ok=True)
        return _understood(lambda: report.save_pngs(document, folder))
    except OSError as error:
        raise Failure(f"can't write pictures to {folder}: {error.strerror or error}", "another --pngs") from error


def _understood(work: Callable[[], Result]) -> Result:
    """A document that is none is the user's, not a bug."""
    try:
        return work()
    except ValueError as error:
        raise Failure(f"this is no sweep: {error}", _TO_MAKE_ONE) from error


_TO_MAKE_ONE = "splitnet sweep MODEL.pt … --output sweep.json"


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json_format.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise Failure(f"{path} is not JSON: {error}", _TO_MAKE_ONE) from error
    if not isinstance(document, dict):
        raise Failure(f"{path} holds a {type(document).__name__}, expected the document of a sweep", _TO_MAKE_ONE)
    return document
