# SPDX-License-Identifier: Apache-2.0
"""`splitnet run`: inferences through a session, and where the time went."""

from __future__ import annotations

import io
from collections import Counter
from enum import Enum
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated, Any

import typer

from splitnet.cli.failures import worker_failures
from splitnet.cli.inputs import load_model, tensors_in
from splitnet.cli.options import (
    CaFile,
    CalibrationFile,
    Codecs,
    InputFile,
    Inputs,
    Json,
    ModelFile,
    Objective,
    OutputFile,
    Threads,
    TokenFile,
    parsed_or_none,
)
from splitnet.cli.output import Column, check_writable, emit, print_json, print_table, save_bytes
from splitnet.cli.progress import progress
from splitnet.cli.sessions import Opened, Wanted, open_session
from splitnet.cli.workers import calibration_of
from splitnet.model_facts import model_facts
from splitnet.units import format_bytes, format_time, parse_time

if TYPE_CHECKING:
    import splitnet

#: Fields of StepTimes in the order of one inference, and what people call them.
_STEPS = {
    "wait_s": "waiting here",
    "input_decode_s": "decoding pictures",
    "head_s": "head",
    "encode_s": "encode",
    "transport_s": "wire",
    "queue_s": "queue",
    "decode_s": "decode",
    "tail_s": "tail",
    "device_wait_s": "waiting for the worker",
    "rest_s": "rest on the device",
    "total_s": "total",
}


class Policy(str, Enum):
    """Decides before each inference."""

    adaptive = "adaptive"


def command(
    model: ModelFile,
    worker: Annotated[
        str | None, typer.Option(metavar="ENDPOINT", help="Where the worker listens; without it: device only.")
    ] = None,
    after: Annotated[
        str | None, typer.Option(metavar="LAYER", help="Cut behind this layer or module. Default: worker only.")
    ] = None,
    objective: Annotated[Objective | None, typer.Option(help="Choose cut and codec, or not to split.")] = None,
    codecs: Codecs = None,
    calibration: CalibrationFile = None,
    policy: Annotated[Policy | None, typer.Option(help="With --objective: decide anew before each inference.")] = None,
    inputs: Inputs = None,
    input_file: InputFile = None,
    threads: Threads = 0,
    repeat: Annotated[int, typer.Option(min=1, help="Inferences, behind one that warms up and does not count.")] = 1,
    deadline: Annotated[
        str | None, typer.Option(metavar="TIME", help="Of each inference, as 200ms; the device finishes in time.")
    ] = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
    output: OutputFile = None,
    json: Json = False,
) -> None:
    """Run a model: its head here, the rest at a worker, and show where the time went.

    --output writes what the model gave, by torch.save.
    """
    deadline_s = parsed_or_none("--deadline", deadline, parse_time)
    check_writable(output)
    part = load_model(model, inputs, input_file)
    wanted = Wanted(
        worker=worker or "",
        after=after,
        objective=objective.value if objective else None,
        codecs=codecs or [],
        calibration=calibration_of(calibration, part),
        policy=policy.value if policy else None,
        threads=threads,
        token_file=token_file,
        ca_file=ca_file,
    )
    wanted.check()
    with worker_failures(wanted.worker, model, inputs or ()), open_session(part, wanted) as opened:
        answers = _answers(opened, part.example_inputs, repeat, deadline_s)
    if output:
        _save_output(output, answers[-1].output)
    document = _document(part, opened, answers)
    if json:
        print_json(document)
    else:
        _print(document)


def _answers(opened: Opened, inputs: list[Any], repeat: int, deadline_s: float | None) -> list[splitnet.Answer]:
    session = opened.session
    session.run(*inputs)  # Warms up both sides.
    answers = []
    with progress("running") as step:
        for done in range(repeat):
            answers.append(session.run(*inputs, deadline_s=deadline_s))
            step(done + 1, repeat)
    return answers


def _save_output(path: Path, output: Any) -> None:
    import torch

    content = io.BytesIO()
    torch.save(output, content)
    save_bytes(path, content.getvalue())


def _document(part: splitnet.Partitioner, opened: Opened, answers: list[splitnet.Answer]) -> dict[str, Any]:
    """Times are medians over the answers, in seconds."""
    plans = Counter(opened.plan_of(answer) for answer in answers)
    answered_by = Counter(answer.answered_by for answer in answers)
    hops = [answer.times.hops for answer in answers]
    return {
        "schema_version": 1,
        "model": model_facts(part),
        "worker": opened.worker or None,
        "repetitions": len(answers),
        "plans": [{"cut": cut, "codec": codec, "answers": count} for (cut, codec), count in plans.items()],
        "answered_by": [{"worker": who or None, "answers": count} for who, count in answered_by.items()],
        "hedged": sum(answer.hedged for answer in answers),
        "requests": sum(answer.requests for answer in answers),
        "kept_exact": sum(answer.kept_exact for answer in answers),
        "predicted_s": opened.predicted_s,
        "times": {field: median(getattr(answer.times, field) for answer in answers) for field in _STEPS},
        "bytes_up": median(sum(hop.request_bytes for hop in one) for one in hops),
        "bytes_down": median(sum(hop.reply_bytes for hop in one) for one in hops),
        "outputs": tensors_in(answers[-1].output),
    }


def _print(document: dict[str, Any]) -> None:
    times = document["times"]
    rows = [[name, format_time(times[field])] for field, name in _STEPS.items() if times[field] or field == "total_s"]
    many = document["repetitions"] > 1
    title = ", ".join(
        f"{plan['cut']}, {plan['codec']}" + (f" ({plan['answers']} times)" if len(document["plans"]) > 1 else "")
        for plan in document["plans"]
    )
    print_table([Column("step"), Column("median" if many else "time", is_number=True)], rows, title)
    emit("\n".join(_facts(document)))


def _facts(document: dict[str, Any]) -> list[str]:
    who = ", ".join(
        (one["worker"] or "the device") + (f" ({one['answers']} times)" if len(document["answered_by"]) > 1 else "")
        for one in document["answered_by"]
    )
    outputs = ", ".join(f"{output['dtype']}{output['sizes']}" for output in document["outputs"])
    lines = [f"answered by {who}", f"output {outputs or 'without tensors'}"]
    if document["requests"]:
        lines.append(f"sent {format_bytes(document['bytes_up'])}, received {format_bytes(document['bytes_down'])}")
    if document["hedged"]:
        lines.append(
            f"{document['hedged']} times the device began with the worker's part, for want of an answer in time"
        )
    if document["kept_exact"]:
        lines.append(f"{document['kept_exact']} tensors were sent exactly, for they held NaN, infinity or the like")
    if document["predicted_s"] is not None:
        lines.append(f"predicted {format_time(document['predicted_s'])}")
    return lines
