# SPDX-License-Identifier: Apache-2.0
"""`splitnet link`: what the link to a worker carries."""

from __future__ import annotations

import json as json_format
from typing import TYPE_CHECKING, Annotated

import typer

from splitnet.cli.failures import worker_failures
from splitnet.cli.options import CaFile, Json, TokenFile
from splitnet.cli.output import Column, print_json, print_table
from splitnet.cli.progress import waiting
from splitnet.cli.workers import registry_of, token_of
from splitnet.units import format_bit_rate, format_time

if TYPE_CHECKING:
    import splitnet


def command(
    worker: Annotated[
        str, typer.Argument(metavar="ENDPOINT", help="Where the worker listens, as tcp://127.0.0.1:7070.")
    ],
    token_file: TokenFile = None,
    ca_file: CaFile = None,
    json: Json = False,
) -> None:
    """Measure round trip and bandwidth of the link to a worker, in some seconds."""
    import splitnet

    options = splitnet.ConnectOptions(token=token_of(token_file))
    with (
        worker_failures(worker),
        waiting(f"probing the link to {worker}"),
        registry_of(ca_file).connect(worker, options) as connection,
    ):
        link = splitnet.probe_link(connection)
    document = {"schema_version": 1, "worker": worker, "link": facts_of(link)}
    if json:
        print_json(document)
        return
    rows = [
        ["round trip", format_time(link.rtt_s)],
        ["jitter", format_time(link.jitter_s)],
        ["each call", format_time(link.overhead_s)],
        ["up", format_bit_rate(link.up_bytes_per_s)],
        ["down", format_bit_rate(link.down_bytes_per_s)],
    ]
    print_table([Column("link"), Column(worker, is_number=True)], rows)


def facts_of(link: splitnet.LinkProfile) -> dict[str, float]:
    """In seconds and bytes per second."""
    facts: dict[str, float] = json_format.loads(link.to_json())
    facts.pop("schema_version", None)
    return facts
