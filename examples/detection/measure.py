# SPDX-License-Identifier: Apache-2.0
"""Local, remote and split side by side: transfer, inference, end to end, memory, dollars.

    python -m detection.measure [FOLDER] [--repetitions 5] [--link up=20Mbit,down=50Mbit,delay=10ms] [--json FILE]

The functions run on stand-ins for AWS on this machine (examples/lambda/local_aws), where a smaller memory size is a
smaller share of a core. `--link` puts a modelled link before the split's function; the others have none.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import secrets
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import splitnet
from common import prices
from common.command_line import end_on_signals
from common.environment import in_environment
from common.server_process import ServerProcess, running_server
from common.summary import Summary
from common.wire_bytes import on_wire
from common.worker_token import VARIABLE
from detection import cloud, model_files, placing
from detection.client import Sent, files_in, send_folder
from detection.cloud_route import CloudRoute
from detection.report import Column, Report
from detection.route import NotAnswered, Outcome, PictureRefused, Route
from detection.server_route import ServerRoute
from local_aws import Invocation, LocalAws

_WARM_UPS = 5  #: Tries.


@dataclass(frozen=True)
class _Setup:
    """What all ways have in common."""

    aws: LocalAws
    sizes: cloud.Sizes
    files: list[Path]
    repetitions: int

    def send(self, route: Route) -> list[Sent]:
        return [send_folder(route, self.files, say=False) for _ in range(self.repetitions)]

    def send_first(self, route: Route) -> Outcome:
        return route.send(self.files[0].name, self.files[0].read_bytes())

    @property
    def count(self) -> int:
        """Pictures sent, in all."""
        return len(self.files) * self.repetitions


def measure(
    aws: LocalAws, server: ServerProcess, sizes: cloud.Sizes, files: list[Path], repetitions: int, link: str = ""
) -> Report:
    """Each way over all files, so many times, after one call that is not counted. `server` has no worker.

    The environment of this process has to be that of `aws`. `link` stands before the tail's URL, whose token is taken
    from the environment, too (placing). Raises splitnet.Error, RuntimeError (no server, or a cold call was not cold),
    NotAnswered and PictureRefused (at the calls that are not counted).
    """
    part = model_files.partitioner()
    setup = _Setup(aws, sizes, files, repetitions)
    local, expected, failures = _local(setup, server)
    remote, found = _remote(setup, expected)
    failures += found

    endpoint = f"shaped://{link}@{aws.function_url(cloud.TAIL)}" if link else f"lambda://{cloud.TAIL}"
    plan = placing.make_plan(part, endpoint, memory_megabytes=sizes.tail_megabytes)
    best = placing.best_split(plan)
    cut, codec = plan.problem.graph.layers[len(best.assignment.heads[0]) - 1].name, best.assignment.codecs[0]
    shown = {"split": (endpoint, cut, codec)}
    if plan.head_layers == 0:
        shown["worker only"] = (endpoint, placing.INPUT, plan.codec)
    columns = [local, remote]
    for name, place in shown.items():
        column, found = _with_function(name, setup, place, expected)
        columns.append(column)
        failures += found
    return Report(
        columns=columns,
        pictures=len(files),
        repetitions=repetitions,
        machine=f"{platform.machine()}, {os.cpu_count()} cores",
        measured_on=datetime.datetime.now(datetime.UTC).date().isoformat(),
        link=link,
        verdict=plan.explain(0).partition("verdict:")[2].strip(),
        split_cut=cut,
        split_codec=codec,
        split_is_chosen=plan.is_split,
        failures=failures,
    )


def _local(setup: _Setup, server: ServerProcess) -> tuple[Column, Sent, list[str]]:
    route = ServerRoute(server.url, details=True)
    setup.send_first(route)
    sent = setup.send(route)
    column = Column(
        name="local",
        transfer_s=None,
        inference_s=_times(sent, "inference"),
        execution_s=None,
        end_to_end_s=_times(sent, "whole call"),
        cold_s=None,
        device_memory_bytes=server.peak_memory_bytes,
        function_memory_bytes=None,
        sent_bytes=0,
        received_bytes=0,
        dollars_per_1000=0,
        same_objects=_same(sent, sent[0]),
    )
    return column, sent[0], _failures("local", sent, sent[0], [])


def _remote(setup: _Setup, expected: Sent) -> tuple[Column, list[str]]:
    aws = setup.aws
    route = CloudRoute(cloud.BUCKET, cloud.TABLE)
    aws.recycle(cloud.WHOLE)
    begun = len(aws.invocations(cloud.WHOLE))
    cold = setup.send_first(route)
    _check_cold(_ended(aws, cloud.WHOLE, begun + 1)[begun:])
    before = _warm_up(aws, setup.files[0], begun)
    reads = route.reads
    sent = setup.send(route)
    calls = _ended(aws, cloud.WHOLE, before + setup.count)[before:]
    polls = (route.reads - reads) / setup.count
    column = Column(
        name=f"remote, {setup.sizes.whole_megabytes} MB",
        transfer_s=_times(sent, "upload"),
        inference_s=_times(sent, "inference"),
        execution_s=Summary.of(call.duration_s for call in calls),
        end_to_end_s=_times(sent, "end to end"),
        cold_s=cold.times_s["end to end"],
        device_memory_bytes=None,
        function_memory_bytes=Summary.of(call.peak_memory_bytes for call in calls),
        sent_bytes=Summary.of(file.stat().st_size for file in setup.files).mean,
        received_bytes=None,
        dollars_per_1000=1000
        * (
            _function_dollars(calls, setup.count)
            + prices.OBJECT_PUT
            + prices.OBJECT_GET
            + prices.TABLE_WRITE
            + prices.TABLE_READ * (1 + polls / 2)  # The function's read is consistent, the client's are not.
        ),
        same_objects=_same(sent, expected),
    )
    return column, _failures("remote", sent, expected, calls)


def _with_function(name: str, setup: _Setup, place: tuple[str, str, str], expected: Sent) -> tuple[Column, list[str]]:
    """With the tail's function; `place` is its endpoint, cut and codec."""
    aws = setup.aws
    endpoint, cut, codec = place
    with running_server(
        "detection.server", "--worker", endpoint, "--cut", cut, "--codec", codec, environment=aws.environment
    ) as server:
        route = ServerRoute(server.url, details=True)
        aws.recycle(cloud.TAIL)  # The session warmed it up when it opened.
        begun = len(aws.invocations(cloud.TAIL))
        cold = setup.send_first(route)
        _check_cold(aws.invocations(cloud.TAIL)[begun:])
        begun = len(aws.invocations(cloud.TAIL))
        sent = setup.send(route)
        calls = aws.invocations(cloud.TAIL)[begun:]
        memory_bytes = server.peak_memory_bytes
    steps = [outcome.steps for one in sent for outcome in one.outcomes.values()]
    received_bytes = sum(one["received_bytes"] for one in steps) / len(steps) * on_wire(endpoint)
    column = Column(
        name=f"{name}, {setup.sizes.tail_megabytes} MB",
        transfer_s=Summary.of(one["transfer_time"] / 1e3 for one in steps),
        inference_s=Summary.of((one["device_time"] + one["worker_time"]) / 1e3 for one in steps),
        execution_s=Summary.of(call.duration_s for call in calls),
        end_to_end_s=_times(sent, "whole call"),
        cold_s=cold.times_s["whole call"],
        device_memory_bytes=memory_bytes,
        function_memory_bytes=Summary.of(call.peak_memory_bytes for call in calls),
        sent_bytes=sum(one["sent_bytes"] for one in steps) / len(steps) * on_wire(endpoint),
        received_bytes=received_bytes,
        dollars_per_1000=1000 * (_function_dollars(calls, len(steps)) + received_bytes * prices.EGRESS_BYTE),
        same_objects=_same(sent, expected),
    )
    failures = _failures(name, sent, expected, calls)
    if any(one["answered_by"] == "this device" for one in steps):
        failures.append(f"{name}: the device finished what the function should have")
    return column, failures


def _check_cold(calls: list[Invocation]) -> None:
    """Of all that a call had a function do, the first thing starts an execution environment. Raises RuntimeError."""
    if [call.is_cold for call in calls] != [True] + [False] * (len(calls) - 1):
        raise RuntimeError(f"expected a first invocation that finds no execution environment, found {calls}")


def _warm_up(aws: LocalAws, file: Path, begun: int) -> int:
    """Starts every execution environment: an item is there a moment before its invocation has ended, and a picture that
    comes in this moment goes to another environment. Returns how many invocations there have been by then.

    Raises RuntimeError: not all of them have started.
    """
    routes = [CloudRoute(cloud.BUCKET, cloud.TABLE) for _ in range(cloud.AT_ONCE)]
    data = file.read_bytes()
    for _ in range(_WARM_UPS):
        before = len(aws.invocations(cloud.WHOLE))
        with ThreadPoolExecutor(cloud.AT_ONCE) as threads:
            list(threads.map(lambda route: route.send(file.name, data), routes))
        calls = _ended(aws, cloud.WHOLE, before + cloud.AT_ONCE)
        if sum(call.is_cold for call in calls[begun:]) == cloud.AT_ONCE:
            return len(calls)
    raise RuntimeError(f"{cloud.AT_ONCE} pictures at once were never with as many execution environments")


def _ended(aws: LocalAws, function: str, count: int) -> list[Invocation]:
    """All its invocations, once there are so many. Raises RuntimeError: there are not within a minute."""
    until_s = time.monotonic() + 60
    while len(calls := aws.invocations(function)) < count:
        if time.monotonic() > until_s:
            raise RuntimeError(f"function {function}: found {len(calls)} invocations that ended, expected {count}")
        time.sleep(0.02)
    return calls


def _times(sent: list[Sent], name: str) -> Summary:
    return Summary.of(outcome.times_s[name] for one in sent for outcome in one.outcomes.values())


def _function_dollars(calls: Sequence[Invocation], pictures: int) -> float:
    """For one picture."""
    return sum(prices.function_dollars(call.billed_s, call.memory_megabytes) for call in calls) / pictures


def _same(sent: list[Sent], expected: Sent) -> int:
    """Files in which the same labels were found, in every repetition."""
    return sum(
        all(_labels(one, name) == _labels(expected, name) for one in sent if name in one.outcomes)
        for name in expected.outcomes
    )


def _failures(way: str, sent: list[Sent], expected: Sent, calls: Sequence[Invocation]) -> list[str]:
    """What was not answered, and what has another main object; a lossy codec may change the faint ones."""
    failures = [f"{way}: {name} was not answered" for one in sent for name in (*one.failed, *one.skipped)]
    for one in sent:
        for name in one.outcomes:
            found, wanted = _labels(one, name)[:1], _labels(expected, name)[:1]
            if found != wanted:
                failures.append(f"{way}: {name}: found {found or 'nothing'} first, expected {wanted or 'nothing'}")
    failures += [f"{way}: a call that should have been hot was cold" for call in calls if call.is_cold]
    return failures + [f"{way}: {call.error}" for call in calls if call.error]


def _labels(sent: Sent, name: str) -> list[str]:
    """Best first."""
    return [found.label for found in sent.outcomes[name].objects]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="detection.measure", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", help="of pictures; none: the sample photos")
    parser.add_argument("--repetitions", type=int, default=5, help="(%(default)s)")
    parser.add_argument("--link", default="", help="before the split's function, as up=20Mbit,down=50Mbit,delay=10ms")
    parser.add_argument("--json", type=Path, help="write the report there, too")
    options = parser.parse_args(arguments)
    if options.folder and not options.folder.is_dir():
        parser.error(f"{options.folder} is not a folder")
    files = files_in(options.folder) if options.folder else model_files.sample_photos()
    if not files or options.repetitions < 1:
        parser.error(f"found {len(files)} files, {options.repetitions} times; expected at least one of each")
    end_on_signals()
    token = secrets.token_hex(32)
    try:
        with (
            cloud.started(token=token) as aws,
            in_environment({**aws.environment, VARIABLE: token}),
            running_server("detection.server") as server,
        ):
            report = measure(aws, server, cloud.Sizes(), files, options.repetitions, options.link)
    except (splitnet.Error, NotAnswered, PictureRefused, RuntimeError, OSError) as error:
        print(f"detection.measure: {error}", file=sys.stderr)
        return 1
    print(report.text())
    if options.json:
        options.json.write_text(report.to_json() + "\n")
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
