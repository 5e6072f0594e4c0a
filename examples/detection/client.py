# SPDX-License-Identifier: Apache-2.0
"""Sends a folder of pictures, one after the other, and prints what was found and how long it took.

    python -m detection.client FOLDER [--server URL]
    python -m detection.client FOLDER --remote --bucket NAME --table NAME

What is no picture is skipped with a word. Exit status: 0 when every picture was answered, 1 when one was not or there
was none, 2 for wrong usage, 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, field
from pathlib import Path

from common.summary import Summary
from common.tables import text_table
from detection.boxes import MAX_FILE_BYTES, Detection
from detection.cloud_route import CloudRoute
from detection.drawing import draw
from detection.route import NotAnswered, Outcome, PictureRefused, Route
from detection.server_route import ServerRoute


@dataclass
class Sent:
    """How sending a folder went."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)  #: By file name.
    skipped: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def times(self) -> dict[str, Summary]:
        """By name, in seconds; empty when nothing was answered."""
        names = next(iter(self.outcomes.values())).times_s if self.outcomes else {}
        return {name: Summary.of(one.times_s[name] for one in self.outcomes.values()) for name in names}


def send_folder(route: Route, files: list[Path], say: bool = True) -> Sent:
    """Each file in order; a line for each on standard error."""
    sent = Sent()
    for number, file in enumerate(files, 1):
        words = _send(route, file, sent)
        if say:
            print(f"{number}/{len(files)} {file.name}: {words}", file=sys.stderr)
    return sent


def _send(route: Route, file: Path, sent: Sent) -> str:
    try:
        if file.stat().st_size > MAX_FILE_BYTES:
            raise PictureRefused(f"found {file.stat().st_size} bytes, expected at most {MAX_FILE_BYTES}")
        outcome = route.send(file.name, file.read_bytes())
    except PictureRefused as refusal:
        sent.skipped.append(file.name)
        return f"skipped: {refusal}"
    except (NotAnswered, OSError) as error:
        sent.failed.append(file.name)
        return f"FAILED: {error}"
    sent.outcomes[file.name] = outcome
    return _found(outcome.objects)


def _found(objects: list[Detection]) -> str:
    return ", ".join(f"{one.label} {one.accuracy:.2f}" for one in objects) or "nothing"


def files_in(folder: Path) -> list[Path]:
    """In the order of their names; not those in folders below."""
    return sorted(file for file in folder.iterdir() if file.is_file() and not file.name.startswith("."))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="detection.client", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="of pictures; those in folders below are not sent")
    parser.add_argument("--server", default="http://127.0.0.1:8080/object-detection", help="(%(default)s)")
    parser.add_argument("--remote", action="store_true", help="through S3, a function and DynamoDB instead")
    parser.add_argument("--bucket", help="whose new objects start the function")
    parser.add_argument("--table", help="where its answers appear")
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds for one picture (%(default)s)")
    parser.add_argument("--draw", type=Path, metavar="FOLDER", help="write the pictures there, with boxes")
    options = parser.parse_args(arguments)
    if options.remote and not (options.bucket and options.table):
        parser.error("--remote needs --bucket and --table")
    if not options.folder.is_dir():
        parser.error(f"{options.folder} is not a folder")
    try:
        return _run(options)
    except (NotAnswered, OSError) as error:
        print(f"detection.client: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("detection.client: interrupted", file=sys.stderr)
        return 130


def _run(options: argparse.Namespace) -> int:
    sent = send_folder(_route(options), files_in(options.folder))
    if options.draw:
        for name, outcome in sent.outcomes.items():
            draw(options.folder / name, outcome.objects, options.draw)
    rows = [[name, summary.text(1e3)] for name, summary in sent.times().items()]
    print(text_table(f"{len(sent.outcomes)} pictures", ["time", "mean / SD / min / max [ms]"], rows))
    print(f"{len(sent.outcomes)} answered, {len(sent.skipped)} skipped, {len(sent.failed)} failed")
    return 0 if sent.outcomes and not sent.failed else 1


def _route(options: argparse.Namespace) -> Route:
    if options.remote:
        return CloudRoute(options.bucket, options.table, options.timeout)
    return ServerRoute(options.server, options.timeout, details=bool(options.draw))


if __name__ == "__main__":
    sys.exit(main())
