# SPDX-License-Identifier: Apache-2.0
"""The result of a sweep for people: one row for each link."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from splitnet.cli.output import Column, print_table
from splitnet.names import DEVICE_ONLY, WORKER_ONLY, short_codec
from splitnet.units import format_time

_COLUMNS = [
    Column("link"),
    Column("chosen"),
    Column("takes", is_number=True),
    Column("best measured"),
    Column("takes", is_number=True),
    Column("regret", is_number=True),
    Column(DEVICE_ONLY, is_number=True),
    Column(WORKER_ONLY, is_number=True),
    Column("verdict"),
]


def print_sweep(document: Mapping[str, Any], names: Mapping[str, str]) -> None:
    """`names` are those of the links by endpoint."""
    sweep = document["sweep"]
    rows = [_row(link, names.get(link["worker"], link["worker"])) for link in sweep["links"]]
    rests = sum(bool(row["not_measured"]) for link in sweep["links"] for row in link["rows"])
    model = document["model"]
    title = f"{model['name']} with {model['inputs']}: {sum(len(link['rows']) for link in sweep['links'])} plans"
    print_table(_COLUMNS, rows, title + (f", {rests} of them not measured" if rests else ""))


def _row(link: Mapping[str, Any], name: str) -> list[str]:
    rows = link["rows"]
    chosen, best = rows[link["chosen"]], rows[link["best"]]
    return [
        name,
        _plan(chosen),
        format_time(chosen["measured"]["total_s"]),
        _plan(best),
        format_time(best["measured"]["total_s"]),
        f"{link['regret']:.1%}",
        _fastest(rows, DEVICE_ONLY),
        _fastest(rows, WORKER_ONLY),
        "split" if link["split_wins"] else "don't split",
    ]


def _plan(row: Mapping[str, Any]) -> str:
    return row["cut"] if row["codec"] == "raw" else f"{row['cut']}, {short_codec(row['codec'])}"


def _fastest(rows: list[Mapping[str, Any]], cut: str) -> str:
    """With whatever codec, which stands there unless it is raw."""
    measured = [row for row in rows if row["cut"] == cut and not row["not_measured"]]
    if not measured:
        return "not measured"
    row = min(measured, key=lambda one: float(one["measured"]["total_s"]))
    codec = "" if row["codec"] == "raw" else f" ({short_codec(row['codec'])})"
    return format_time(row["measured"]["total_s"]) + codec
