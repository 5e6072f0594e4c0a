# SPDX-License-Identifier: Apache-2.0
"""`splitnet profile`: how long each layer takes on this machine."""

from __future__ import annotations

import json as json_format
from typing import Any

from splitnet.cli.inputs import load_model
from splitnet.cli.machine_checks import BUSY_LOAD
from splitnet.cli.options import InputFile, Inputs, Json, ModelFile, OutputFile, Threads
from splitnet.cli.output import Column, check_writable, print_json, print_table, save_text, say, to_text
from splitnet.cli.progress import progress
from splitnet.units import format_bytes, format_time

_COLUMNS = [
    Column("#", is_number=True),
    Column("layer"),
    Column("time", is_number=True),
    Column("spread", is_number=True),
    Column("share", is_number=True),
    Column("so far", is_number=True),
    Column("memory", is_number=True),
]


def command(
    model: ModelFile,
    inputs: Inputs = None,
    input_file: InputFile = None,
    threads: Threads = 0,
    output: OutputFile = None,
    json: Json = False,
) -> None:
    """Measure how long each layer takes on this machine, best while nothing else runs on it.

    `splitnet plan --device-profile FILE` takes what --output writes, so that a device need not be measured again.
    """
    check_writable(output)
    part = load_model(model, inputs, input_file)
    import splitnet

    with progress("timing the layers") as step:
        options = splitnet.ProfileOptions(stage=splitnet.StageOptions(threads=threads), progress=step)
        profile = splitnet.profile_device(part, part.example_inputs, options)
    if profile.load > BUSY_LOAD:
        say(f"the load of this machine was {profile.load:.2g} for each core: times may be too long")
    document = json_format.loads(profile.to_json())
    if output:
        save_text(output, to_text(document) + "\n")
    if json:
        print_json(document)
    else:
        _print(part.name, document)


def _print(name: str, document: dict[str, Any]) -> None:
    pass_s, so_far_s, rows = document["pass_s"], 0.0, []
    for index, layer in enumerate(document["layers"]):
        so_far_s += layer["time_s"]
        rows.append(
            [
                str(index),
                layer["name"],
                format_time(layer["time_s"]),
                format_time(layer["spread_s"]),
                f"{layer['time_s'] / pass_s:.1%}",
                format_time(so_far_s),
                format_bytes(layer["peak_bytes"]) if layer["peak_bytes"] else "",
            ]
        )
    threads = document["threads"] or "torch's"
    print_table(
        _COLUMNS,
        rows,
        f"{name} with {document['inputs']} on {document['machine']}, {threads} threads: a pass takes "
        f"{format_time(pass_s)} (± {format_time(document['pass_spread_s'])}), one more stage "
        f"{format_time(document['stage_overhead_s'])}",
    )
