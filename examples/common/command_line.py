# SPDX-License-Identifier: Apache-2.0
"""What the demonstrations take on their command lines, say while they work, and do when they are told to end."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from aiohttp import web

import splitnet
from common.serving import Address, serve


def say(what: str) -> None:
    """To a person, about what is begun."""
    print(f"-- {what}", file=sys.stderr, flush=True)


def count(text: str) -> int:
    """For argparse: at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a whole number of at least 1")
    return int(text)


def link(text: str) -> str:
    """For argparse: a link as shaped:// has it."""
    try:
        splitnet.ShapedOptions.parse(text)
    except splitnet.InvalidArgument as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


class ForCheck(argparse.Action):
    """Of an option that means something with --check alone; see `parse`."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: object, option: str | None = None
    ) -> None:
        setattr(namespace, self.dest, values)
        namespace.for_check = option


def add_check(parser: argparse.ArgumentParser) -> None:
    """Adds --check, and --json for it. `parse` them."""
    parser.add_argument("--check", action="store_true", help="start everything, measure, print the table, and end")
    parser.add_argument(
        "--json", action=ForCheck, type=Path, metavar="FILE", help="with --check: write all that was found there, too"
    )
    parser.set_defaults(for_check=None)


def parse(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """What was chosen; ends the program where that can't be, as it would be for an option of --check without it."""
    options = parser.parse_args(arguments)
    if options.for_check and not options.check:
        parser.error(f"{options.for_check}: found without --check, which it is for")
    return options


def end_on_signals() -> None:
    """SIGINT and SIGTERM raise SystemExit from now on, with the status that shells have for them, so that every `with` ends."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)


def serve_until_told(app: web.Application, address: Address, path: str = "") -> int:
    """As `serve`, for a program that has more to end afterwards; returns its exit status. A second signal then ends it at
    once, and the kernel its children."""
    status = 128 + asyncio.run(serve(app, address, path))
    end_on_signals()
    say("ending what was started")
    return status


def status_of(problems: Iterable[str]) -> int:
    """Of a check: 0 where nothing was wrong. Says what was."""
    status = 0
    for problem in problems:
        print(f"wrong: {problem}", file=sys.stderr)
        status = 1
    return status


def _end(number: int, frame: object) -> None:
    raise SystemExit(128 + number)
