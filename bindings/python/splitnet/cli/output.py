# SPDX-License-Identifier: Apache-2.0
"""Data on standard output, messages on standard error, and files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import splitnet.files as files
from splitnet.cli.failures import Failure


@dataclass(frozen=True)
class Column:
    """Of a table; numbers stand on the right."""

    name: str
    is_number: bool = False


def say(message: str) -> None:
    """A message for people."""
    print(message, file=sys.stderr, flush=True)


class NobodyReads(Exception):
    """Whoever read standard output has gone."""


def emit(text: str) -> None:
    """Data, with a line's end behind it. Raises NobodyReads, Failure."""
    with _to_standard_output():
        print(text, flush=True)


@contextlib.contextmanager
def _to_standard_output() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:
        raise NobodyReads from error
    except OSError as error:
        raise Failure(f"can't write to standard output: {error.strerror}", _after(error)) from error


def print_json(document: Mapping[str, Any]) -> None:
    """The only thing on standard output where `--json` is given."""
    emit(to_text(document))


def to_text(document: Mapping[str, Any]) -> str:
    """JSON as it is printed and written."""
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)


def print_table(columns: Sequence[Column], rows: Sequence[Sequence[str]], title: str = "") -> None:
    """With lines and colours in a terminal; elsewhere plain text in columns, of any width."""
    if sys.stdout.isatty():
        _print_rich_table(columns, rows, title)
        return
    widths = [max(map(len, cells)) for cells in zip([column.name for column in columns], *rows, strict=True)]
    lines = [title] if title else []
    for row in [[column.name for column in columns], *rows]:
        cells = (
            cell.rjust(width) if column.is_number else cell.ljust(width)
            for cell, width, column in zip(row, widths, columns, strict=True)
        )
        lines.append("  ".join(cells).rstrip())
    emit("\n".join(lines))


def _print_rich_table(columns: Sequence[Column], rows: Sequence[Sequence[str]], title: str) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD)
    for column in columns:
        table.add_column(column.name, justify="right" if column.is_number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))  # Text: brackets in names are no markup.
    Console().print(table)


def end_output() -> None:
    """Of what others have printed, as help. Raises as `emit`."""
    with _to_standard_output():
        sys.stdout.flush()


def give_up_output() -> None:
    """What could not be written is dropped: the interpreter would try again at its end, and complain."""
    try:
        sys.stdout.flush()
    except OSError:
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def save_text(path: Path, text: str) -> None:
    """As `save_bytes`, in UTF-8."""
    save_bytes(path, text.encode())


def save_bytes(path: Path, content: bytes) -> None:
    """All of it or nothing: what stood there before stays when it fails. Raises Failure."""
    with beside(path) as draft:
        draft.write_bytes(content)


@contextlib.contextmanager
def beside(path: Path) -> Iterator[Path]:
    """As `files.beside`. Raises Failure."""
    try:
        with files.beside(path) as draft:
            yield draft
    except OSError as error:
        raise Failure(f"can't write {path}: {error.strerror or error}", _after(error)) from error


def check_writable(*paths: Path | None) -> None:
    """Before hours of measuring: that these files can be made. Raises Failure."""
    for path in paths:
        if path is None:
            continue
        if path.is_dir():
            raise Failure(f"can't write {path}: it is a directory", "the name of a file in it")
        if not path.parent.is_dir():
            raise Failure(f"can't write {path}: there is no directory {path.parent}", f"mkdir -p {path.parent}")
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise Failure(f"can't write {path}: Permission denied", "another place")


def check_folder(path: Path | None) -> None:
    """As check_writable, of one that will be made if it is not there."""
    if path is None:
        return
    there = next(one for one in [path, *path.absolute().parents] if one.exists())
    if not there.is_dir():
        raise Failure(f"can't make the directory {path}: {there} is a file", "another place")
    if not os.access(there, os.W_OK):
        raise Failure(f"can't write to {path}: Permission denied", "another place")


def _after(error: OSError) -> str:
    return "another place, or to free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else ""
