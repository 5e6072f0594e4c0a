# SPDX-License-Identifier: Apache-2.0
"""`splitnet sweep`: every plan over several links, measured beside what was predicted."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from splitnet.cli.exit_codes import INTERRUPTED
from splitnet.cli.failures import Failure, failure_of, tell, worker_failures
from splitnet.cli.inputs import load_model
from splitnet.cli.options import (
    CaFile,
    CalibrationFile,
    Codecs,
    Endpoint,
    InputFile,
    Inputs,
    Json,
    ModelFile,
    OutputFile,
    Threads,
    TokenFile,
    parsed_or_none,
)
from splitnet.cli.output import check_folder, check_writable, print_json, save_text, say, to_text
from splitnet.cli.progress import named_progress
from splitnet.cli.report import save_pngs, save_report
from splitnet.cli.sweep_links import SweptLink, links_of
from splitnet.cli.sweep_table import print_sweep
from splitnet.cli.workers import calibration_of, codec_profiles, registry_of, token_of
from splitnet.units import parse_time

if TYPE_CHECKING:
    import splitnet


def command(
    model: ModelFile,
    worker: Endpoint,
    inputs: Inputs = None,
    input_file: InputFile = None,
    bandwidth: Annotated[
        str | None,
        typer.Option(metavar="RATES", help="A modelled link for each, as 1,5,20,100Mbit. Default: the link as it is."),
    ] = None,
    down: Annotated[
        str | None, typer.Option(metavar="RATES", help="From the worker: one rate, or one for each. Default: the same.")
    ] = None,
    rtt: Annotated[str | None, typer.Option(metavar="TIME", help="Round trip added to each link, as 10ms.")] = None,
    cuts: Annotated[
        int, typer.Option(min=0, help="An even sample of so many cuts, and the best few; 0: every legal cut.")
    ] = 0,
    repetitions: Annotated[int, typer.Option(min=1, help="Each plan is measured twice so many times.")] = 4,
    max_plan: Annotated[
        str | None, typer.Option(metavar="TIME", help="Leave out plans predicted to take longer, as 2s.")
    ] = None,
    calibration: CalibrationFile = None,
    codecs: Codecs = None,
    threads: Threads = 0,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
    report: Annotated[Path | None, typer.Option(metavar="FILE.html", help="Write a page to read.")] = None,
    pngs: Annotated[Path | None, typer.Option(metavar="DIR", help="Write its plots as pictures.")] = None,
    output: OutputFile = None,
    json: Json = False,
) -> None:
    """Measure every cut and codec over several links, and score the predictions.

    Ctrl-C ends it early, and what was measured until then is printed and written all the same; a second one ends at
    once.
    """
    from splitnet.sweep_document import document_of
    from splitnet.sweeping import sweepable

    links = links_of(worker, bandwidth, down, rtt)
    max_plan_s = parsed_or_none("--max-plan", max_plan, parse_time)
    check_writable(output, report)
    check_folder(pngs)
    part = load_model(model, inputs, input_file)
    known = calibration_of(calibration, part)
    swept_codecs = codec_profiles(part, codecs or ()) + [one for one in sweepable(known) if one.name != "raw"]
    measure = {
        "max_cuts": cuts,
        "repetitions": repetitions,
        "max_plan_s": max_plan_s,
        "codecs": swept_codecs,
        "threads": threads,
        "token": token_of(token_file),
        "registry": registry_of(ca_file),
    }
    with worker_failures(worker, model, inputs or ()):
        sweep, interrupted = _measured(part, links, measure)
    if not sweep.links:
        raise Failure("interrupted before a plan was measured", exit_code=INTERRUPTED)
    document = document_of(part, sweep, codecs=swept_codecs, calibration=known, interrupted=interrupted)
    failures = _write(document, output, report, pngs)
    _print(document, links, as_json=json or (bool(failures) and (output is None or output in failures)))
    if failures:
        *others, last = failures.values()
        for failure in others:
            tell(failure)
        raise last
    if sweep.failure:
        raise Failure(f"the sweep ended early: {sweep.failure}", shlex.join(["splitnet", "doctor", "--worker", worker]))
    if interrupted:
        raise Failure("interrupted; this is what was measured until then", exit_code=INTERRUPTED)


def _measured(
    part: splitnet.Partitioner, links: list[SweptLink], measure: dict[str, Any]
) -> tuple[splitnet.Sweep, bool]:
    """The sweep, and whether it was interrupted."""
    import splitnet

    endpoints = [link.endpoint for link in links]
    first = f"measuring device, worker and link 1 of {len(links)}: {links[0].name}"
    with named_progress(first) as step, _interruptible_once():
        try:
            return splitnet.sweep(part, endpoints, progress=_by_link(links, step), **measure), False
        except splitnet.SweepInterrupted as interrupt:
            return interrupt.sweep, True


def _by_link(links: list[SweptLink], step: Callable[[str, float, float], None]) -> Callable[[str, int, int], None]:
    """One bar over all links."""
    index_of = {link.endpoint: index for index, link in enumerate(links)}

    def progress(endpoint: str, done: int, total: int) -> None:
        index = index_of[endpoint]
        step(f"link {index + 1} of {len(links)}: {links[index].name}", index + done / total, len(links))

    return progress


@contextmanager
def _interruptible_once() -> Iterator[None]:
    """The first Ctrl-C asks the sweep to stop, which takes as long as the inference or the profile under way; the
    second ends the process."""

    def interrupt(*_: object) -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        say("stopping after what is under way; Ctrl-C again ends at once")
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _write(
    document: dict[str, Any], output: Path | None, report: Path | None, pngs: Path | None
) -> dict[Path, Failure]:
    """Everything that can be written, whatever else can't, with why it can't: measuring again takes long."""
    failures = {}
    for wanted, write in (
        (output, lambda path: save_text(path, to_text(document) + "\n")),
        (report, lambda path: save_report(document, path)),
        (pngs, lambda path: save_pngs(document, path)),
    ):
        if wanted is None:
            continue
        try:
            write(wanted)
        except Exception as error:  # noqa: BLE001 (whatever it is, the others come first)
            failures[wanted] = failure_of(error)
    return failures


def _print(document: dict[str, Any], links: list[SweptLink], *, as_json: bool) -> None:
    if as_json:
        print_json(document)
    else:
        print_sweep(document, {link.endpoint: link.name for link in links})
