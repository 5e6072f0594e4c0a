#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures where the cold start of the function goes, and draws it as a waterfall.

    cold_start.py --image build/lambda/root --input 1x3x224x224 [--rounds 5] [--out build/bench] [-- WORKER OPTION ...]

The worker of an assembled image (assemble_image.py) is started inside it, in front of a runtime API that notes when it is
asked (runtime_api.py): as often with the image's files in the page cache as with none of them there, and of these as often
with bootstrap, which reads ahead for it, as without. Then a session sends two requests. Nothing is traced: the times come from
the loader (LD_DEBUG=files), from the worker's JSON log and from the runtime API. Writes cold_start.json and cold_start.svg
to the folder --out, prints the medians, and says what it has written; examples/lambda/cold_start.svg is a copy of such a picture.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import secrets
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import altair
import torch

import page_cache
import splitnet
from runtime_api import RuntimeApi

START_TIMEOUT_S = 60.0
WARM, COLD, ALONE = "files in the page cache", "files on disk", "files on disk, no bootstrap"
IN_IMAGE = pathlib.Path(__file__).with_name("in_image")
CHROOT_DONE = "transferring control: chroot"


@dataclass
class Start:
    """One start of the function: how long each phase took, in seconds, in order."""

    files: str
    phase_s: dict[str, float] = field(default_factory=dict)
    read_bytes: int = (
        0  #: Of the image's files in the page cache after the first request, what was read ahead included.
    )
    read_chunks: int = 0


class WorkerError(Exception):
    """The worker did not start, or not as expected; with what it said."""


@dataclass
class Lines:
    """What a process writes to standard error, each line with the time at which it came."""

    process: subprocess.Popen[str]
    seen: list[tuple[float, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if line.strip() != f"{self.process.pid}:":  # The loader's paragraphs.
                self.seen.append((time.monotonic(), line.rstrip()))

    def join(self) -> None:
        self._thread.join()

    def first(self, *parts: str, behind: int = -1) -> int:
        """The number of the first line behind another that has all parts."""
        for number, (_, line) in enumerate(self.seen):
            if number > behind and all(part in line for part in parts):
                return number
        raise WorkerError(f"the worker never said {' … '.join(parts)!r}; it said:\n{self.own_words()}")

    def own_words(self) -> str:
        """Without those of the loader, which begin with the number of the process."""
        return "\n".join(line for _, line in self.seen if not line.lstrip().startswith(f"{self.process.pid}:"))


def command(kind: str, arguments: argparse.Namespace) -> list[str | pathlib.Path]:
    variables = {"LD_DEBUG": "files", "OMP_NUM_THREADS": "1", **dict(arguments.environment)}
    program = ["/splitnet-worker"] if kind == ALONE else ["/bootstrap", "/splitnet-worker"]
    options = ["--listen", "lambda-runtime://", "--threads", "1", "--log-format", "json", *arguments.worker_options]
    set_for_it = [f"{name}={value}" for name, value in variables.items()]
    return [IN_IMAGE, arguments.image, *set_for_it, *program, f"/models/{arguments.model}.pt", *options]


def starting_phases(lines: Lines, first_next_s: float) -> Iterator[tuple[str, float]]:
    """The phases up to the first look for an invocation, by the lines that end them."""
    begin = lines.first(CHROOT_DONE)
    libtorch = lines.first("calling init:", "libtorch_cpu", behind=begin)
    ends = {
        "process started": begin + 1,
        "libraries mapped and relocated": lines.first("calling init:", behind=begin),
        "libraries before libtorch initialised": libtorch,
        "libtorch initialised": libtorch + 1,
        "libraries after it initialised": lines.first("transferring control:", behind=begin),
        "model read, frozen, taken apart": lines.first('"message":"serving ', behind=begin),
    }
    before = lines.seen[begin][0]
    for phase, number in ends.items():
        yield phase, lines.seen[number][0] - before
        before = lines.seen[number][0]
    yield "runtime API asked for work", first_next_s - before


def request_phases(api: RuntimeApi) -> Iterator[tuple[str, float]]:
    """The work of the function alone, without what a session does in between."""
    for name, invocation in zip(("stage cut", "first request", "second request"), api.invocations, strict=True):
        yield name, invocation.answered_s - invocation.given_s


def send_requests(api: RuntimeApi, part: splitnet.Partitioner, token: str, arguments: argparse.Namespace) -> None:
    cut = splitnet.Cut.at_input() if arguments.after is None else splitnet.Cut.after(arguments.after)
    with splitnet.Session(
        part, worker=f"http://{api.address}", cut=cut, threads=1, token=token, finish_on_device=False
    ) as session:
        for _ in range(2):
            session(arguments.input)


def measure(files: str, part: splitnet.Partitioner, arguments: argparse.Namespace) -> Start:
    """Starts the function once, and ends it. Raises WorkerError, also when its files are in memory and should not be."""
    start = Start(files)
    if files != WARM and (left := page_cache.evict(arguments.image)):
        raise WorkerError(f"{left} bytes of {arguments.image} stay in the page cache: does another process run in it?")
    token = secrets.token_hex(32)
    with RuntimeApi() as api:
        environment = {**os.environ, "AWS_LAMBDA_RUNTIME_API": api.address, "SPLITNET_TOKEN": token}
        process = subprocess.Popen(
            command(files, arguments), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        lines = Lines(process)
        try:
            give_up_s = time.monotonic() + START_TIMEOUT_S
            while not api.first_next.wait(0.05):
                if process.poll() is not None or time.monotonic() > give_up_s:
                    raise WorkerError(f"the worker did not ask for an invocation; it said:\n{lines.own_words()}")
            send_requests(api, part, token, arguments)
            found = page_cache.resident(arguments.image)
        finally:
            process.terminate()
            process.wait()
            lines.join()
        start.phase_s = dict(starting_phases(lines, api.first_next_s)) | dict(request_phases(api))
    start.read_bytes = sum(file.resident_bytes for file in found)
    start.read_chunks = sum(file.chunks for file in found)
    return start


def medians(starts: list[Start]) -> dict[str, float]:
    return {phase: statistics.median(start.phase_s[phase] for start in starts) for phase in starts[0].phase_s}


def waterfall(by_files: dict[str, dict[str, float]], title: str) -> altair.FacetChart:
    """One bar a phase, each beginning where the one before ends."""
    bars = []
    for files, phases in by_files.items():
        begin = 0.0
        for phase, seconds in phases.items():
            text = f"{seconds * 1000:.1f}"
            bars.append(
                {"files": files, "phase": phase, "begin": begin * 1000, "end": (begin + seconds) * 1000, "ms": text}
            )
            begin += seconds
    order = list(next(iter(by_files.values())))
    base = altair.Chart(altair.InlineData(bars)).encode(
        y=altair.Y("phase:N", sort=order, title=None, axis=altair.Axis(labelLimit=300)),
        x=altair.X("begin:Q", title="milliseconds since the process was made"),
    )
    bar = base.mark_bar().encode(x2="end:Q", color=altair.Color("phase:N", sort=order, legend=None))
    label = base.mark_text(align="left", dx=4).encode(x="end:Q", text="ms:N")
    layers = altair.layer(bar, label).properties(width=620)
    return layers.facet(row=altair.Row("files:N", sort=list(by_files), title=None)).properties(title=title)


def table(by_files: dict[str, list[Start]]) -> Iterator[str]:
    names = list(by_files)
    middle = {files: medians(starts) for files, starts in by_files.items()}
    yield f"{'median, ms':38}" + "".join(f"{name:>32}" for name in names)
    for phase in middle[names[0]]:
        yield f"{phase:38}" + "".join(f"{middle[name][phase] * 1000:32.1f}" for name in names)
    total = [sum(middle[name].values()) - middle[name]["second request"] for name in names]
    yield f"{'until the first answer':38}" + "".join(f"{seconds * 1000:32.1f}" for seconds in total)
    for name in (COLD, ALONE):
        read = by_files[name][0]
        yield f"{name}: {read.read_bytes / 1e6:.1f} MB read, read-ahead included, in {read.read_chunks} pieces of 512 KiB"


def parse_shape(text: str) -> torch.Tensor:
    return torch.ones([int(size) for size in text.split("x")])


def parse_variable(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name, value


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--image", type=pathlib.Path, required=True, help="folder that assemble_image.py made")
    parser.add_argument("--model", help="name of a model in it; left out: its only one")
    parser.add_argument("--input", type=parse_shape, required=True, metavar="SHAPE", help="for instance 1x3x224x224")
    parser.add_argument("--after", metavar="LAYER", help="cut behind this layer; left out: the function has all layers")
    parser.add_argument("--rounds", type=int, default=5, help="starts of each kind")
    parser.add_argument("--environment", type=parse_variable, action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("build/bench"), help="folder of the results")
    parser.add_argument("worker_options", nargs="*", metavar="-- WORKER OPTION")
    arguments = parser.parse_args()
    found = sorted(path.stem for path in (arguments.image / "models").glob("*.pt"))
    if arguments.model is None and len(found) == 1:
        arguments.model = found[0]
    if arguments.model not in found:
        parser.error(
            f"--model is {arguments.model}, expected one of those in {arguments.image}: {', '.join(found) or 'none'}"
        )
    return arguments


def main() -> int:
    arguments = parse_arguments()
    part = splitnet.Partitioner(arguments.image / f"models/{arguments.model}.pt")
    by_files: dict[str, list[Start]] = {WARM: [], COLD: [], ALONE: []}
    try:
        measure(WARM, part, arguments)  # Puts the files there.
        for _ in range(arguments.rounds):
            for files, starts in by_files.items():
                starts.append(measure(files, part, arguments))
    except WorkerError as error:
        print(f"cold_start.py: {error}", file=sys.stderr)
        return 1
    arguments.out.mkdir(parents=True, exist_ok=True)
    document = {
        "model": arguments.model,
        "worker_options": arguments.worker_options,
        "environment": dict(arguments.environment),
        "starts": [vars(start) for starts in by_files.values() for start in starts],
        "median_s": {files: medians(starts) for files, starts in by_files.items()},
    }
    (arguments.out / "cold_start.json").write_text(json.dumps(document, indent=1) + "\n")
    waterfall(document["median_s"], f"Cold start, {arguments.model}").save(arguments.out / "cold_start.svg")
    for line in table(by_files):
        print(line)
    print(f"written: {arguments.out / 'cold_start.json'}, {arguments.out / 'cold_start.svg'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
