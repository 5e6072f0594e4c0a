# SPDX-License-Identifier: Apache-2.0
"""Makes one table, in Markdown, of what the three demos have found: the experiments of S2, S4 and S3, theirs and ours.

    scripts/demo elastic --check --json elastic.json
    scripts/demo classify --check --json classify.json
    scripts/demo video --check --json video.json
    PYTHONPATH=examples build/package/bin/python -m elastic_pool.theirs_and_ours elastic.json classify.json video.json

Every figure, theirs too, is taken from the files. It ends with 1 where one of the files is not of its demo.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

Document = Mapping[str, Any]
Row = tuple[str, str, str]

HEAD: Row = ("experiment", "theirs", "ours")


def elastic_rows(document: Document) -> list[Row]:
    """Of S2: seconds from the upload to the last label, from no worker on."""
    return [_elastic_row(run, document["theirs_s"]) for run in document["runs"]]


def _elastic_row(run: Document, theirs_s: Mapping[str, str]) -> Row:
    theirs = theirs_s.get(run["name"], "")
    ours = f"{run['total_s']:.1f} s; {run['answered']} of {run['pictures']} right; {_count(run['workers'], 'worker')}"
    if run["killed"] or run["restarts"]:
        ours += f", {run['killed']} of them killed, queue restarted {_times(run['restarts'])}"
        ours += f"; second answers refused: {run['refused']}"
        ours += f"; {_count(len(run['dead_letters']), 'dead letter')}"
    name = run["name"].replace(str(run["pictures"]), f"{run['pictures']} pictures at once", 1)
    return f"S2: {name}", f"{theirs} s" if theirs.isdecimal() else theirs, ours


def classify_rows(document: Document) -> list[Row]:
    """Of S4: their one experiment stands beside the first of ours with as many requests."""
    theirs = document["theirs"]
    words = f"{theirs['answered']} of {theirs['requests']} answered, about {theirs['mean_s']:.0f} s on average"
    rows: list[Row] = []
    for run in document["runs"]:
        ours = (
            f"{run['answered']} of {run['requests']} answered, {run['right']} right; {run['mean_s']:.1f} s on average"
        )
        ours += f", longest {run['longest_s']:.1f} s"
        if run["killed"]:
            ours += f"; {_count(run['killed'], 'worker')} killed"
        is_theirs = run["requests"] == theirs["requests"] and words not in [row[1] for row in rows]
        rows.append((f"S4: {run['name']}", words if is_theirs else "", ours))
    return rows


def video_rows(document: Document) -> list[Row]:
    """Of S3: a row for each figure, with all recordings in it."""
    theirs, runs, other, strangers = (document[name] for name in ("theirs", "runs", "other_photos", "strangers"))
    lost = _each(runs, lambda run: str(run["sent"] - run["answered"] - run["failed"]))
    sent = [run for run in runs if run["finished_by_workers"]]
    return [
        (
            "S3: frames per second",
            theirs["frames per second"],
            _each(runs, lambda run: f"{run['answered'] / run['seconds']:.1f}"),
        ),
        ("S3: latency per frame, mean and longest", theirs["latency per frame"], _each(runs, _latency)),
        (
            "S3: round trip per frame, 95th percentile",
            "",
            _each(sent, lambda run: f"{run['latency']['p95_s'] * 1000:.0f} ms") or "nothing was sent",
        ),
        ("S3: frames lost", theirs["lost"], lost),
        ("S3: recognised on the clip, 1 person", theirs["recognised"], _each(runs, _recognised)),
        (
            f"S3: a named gallery, {document['people']} people",
            "",
            f"{other['right']} of {other['pictures']} other photos right, {other['wrong']} with another's name; "
            f"{strangers['right']} of {strangers['faces']} strangers unknown",
        ),
    ]


def _latency(run: Document) -> str:
    where = "" if run["finished_by_workers"] else ", nothing sent"
    return f"{run['latency']['mean_s'] * 1000:.0f} and {run['latency']['max_s'] * 1000:.0f} ms{where}"


def _recognised(run: Document) -> str:
    return f"{run['named']} of {run['to_be_named']} ({run['named'] / max(1, run['to_be_named']):.0%})"


def _each(runs: Sequence[Document], value: Callable[[Document], str]) -> str:
    return "; ".join(f"{run['what']}: {value(run)}" for run in runs)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def markdown(rows: Sequence[Row]) -> str:
    """A table."""
    lines = [HEAD, ("---", "---", "---"), *rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in lines)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="elastic_pool.theirs_and_ours", description="The tables of the three demos as one, in Markdown."
    )
    makers = {"elastic": elastic_rows, "classify": classify_rows, "video": video_rows}
    for name in makers:
        parser.add_argument(name, type=Path, metavar=f"{name}.json", help=f"of scripts/demo {name} --check --json FILE")
    chosen = parser.parse_args(arguments)
    rows: list[Row] = []
    for name, make in makers.items():
        file: Path = getattr(chosen, name)
        try:
            rows += make(json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            print(f"theirs_and_ours: {file}: {error}", file=sys.stderr)
            return 1
        except (KeyError, TypeError, AttributeError) as error:
            words = f"{file}: found no {error}, expected what `scripts/demo {name} --check --json` writes"
            print(f"theirs_and_ours: {words}", file=sys.stderr)
            return 1
    print(markdown(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
