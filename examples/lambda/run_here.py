# SPDX-License-Identifier: Apache-2.0
"""The deployed function on this machine: the assembled image under Lambda's own emulator, behind local_aws.

    run_here.py --image ROOT --model MODEL.pt --input FILE.bin:SHAPE [--cut NAME] [--memory MB] [--concurrency N] [--check]

Prints how to call it and what it logs, until it is interrupted. With --check it is called, from Python and from C++: cold,
hot, through the function URL, and with more than an invocation takes; exit status 1 when an answer is not the model's.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch

import splitnet
from common import prices
from common.aws_client import aws_client
from common.command_line import end_on_signals
from common.environment import in_environment
from local_aws import Function, Invocation, LocalAws, image_function

CALL_FUNCTION = pathlib.Path(__file__).resolve().parents[2] / "build/release/call_function"
NAME, BUCKET = "splitnet-tail", "splitnet-bodies"
STORE = f"s3://{BUCKET}/bodies"
HOT_CALLS = 3
INVOCATION_BYTES = 6 * 2**20
#: A gigabyte-second on arm64 costs 13.3334 millionths of a dollar where one on x86_64 costs 16.6667 (us-east-1).
ARM_SHARE = 13.3334 / 16.6667


class CallError(Exception):
    """The session in C++ got no answer, and why."""


@dataclass(frozen=True)
class Call:
    """One inference that the function finished."""

    what: str
    took_s: float
    same_bits: bool  #: As those of the model in one piece.
    is_cold: bool  #: Meant to be: it comes after all execution environments were ended.
    invocations: list[Invocation]  #: What it had the function do; a session's first call and its opening are several.
    is_large: bool = False  #: More than an invocation takes.

    @property
    def init_s(self) -> float:
        """The start of the execution environment."""
        return sum(one.init_s for one in self.invocations)

    def trouble(self) -> str:
        """Why it does not count; empty: it does."""
        if not self.same_bits:
            return "OTHER BITS than the model in one piece"
        starts = sum(one.is_cold for one in self.invocations)
        return "" if starts == self.is_cold else f"{starts} COLD STARTS, expected {int(self.is_cold)}"

    def text(self) -> str:
        start = f", of which {self.init_s * 1000:.0f} ms to start" if self.is_cold else ""
        return f"{self.what:38} {self.took_s * 1000:8.1f} ms{start}: {self.trouble() or 'the bits of the model'}"


def function(arguments: argparse.Namespace, token: str) -> Function:
    """As the Dockerfile and template.yaml have it."""
    return image_function(
        NAME,
        arguments.image,
        arguments.model.stem,
        inputs=[arguments.input.rpartition(":")[2]],
        cuts=[arguments.cut],
        memory_megabytes=arguments.memory,
        concurrency=arguments.concurrency,
        token=token,
        store=STORE,
    )


def instructions(aws: LocalAws, arguments: argparse.Namespace, token: str) -> Iterator[str]:
    model = arguments.model
    yield "In another shell:"
    variables = aws.environment | {"SPLITNET_STORE": STORE}
    yield "  export " + " ".join(f"{name}={value}" for name, value in sorted(variables.items()))
    yield "C++:"
    yield f"  build/release/call_function {model} lambda://{NAME} --input {arguments.input} --cut {arguments.cut}"
    yield "Python:"
    cut = "splitnet.Cut.at_input()" if arguments.cut == "input" else repr(arguments.cut)
    yield f'  splitnet.Session(splitnet.Partitioner("{model}"), worker="lambda://{NAME}", cut={cut})'
    yield "By its URL, as through API Gateway, with the token:"
    yield f'  splitnet.Session(…, worker="{aws.function_url(NAME)}", token="{token}")'
    yield f"Memory: {aws.limits}"


class Caller:
    """Compares what the function finishes with the model in one piece, on this machine."""

    def __init__(self, aws: LocalAws, arguments: argparse.Namespace, part: splitnet.Partitioner, token: str) -> None:
        self._aws = aws
        self._arguments = arguments
        self._part = part
        self._token = token
        self._input: torch.Tensor = read_input(arguments.input)
        (self._whole,) = self._part.stages([], splitnet.StageOptions(threads=1))
        self._seen = 0

    def calls(self) -> Iterator[Call]:
        yield from self._python_calls()
        yield from self._cpp_calls("C++, lambda://", f"lambda://{NAME}", is_cold=True)
        yield from self._cpp_calls("C++, function URL", self._aws.function_url(NAME), is_cold=False)

    def _python_calls(self) -> Iterator[Call]:
        self._recycle()
        begun_s = time.perf_counter()
        with self._session(f"lambda://{NAME}") as session:
            yield self._call("Python, lambda://, session opened", session, self._input, begun_s, is_cold=True)
            for _ in range(HOT_CALLS):
                yield self._call("Python, lambda://", session, self._input)
            rows = INVOCATION_BYTES // (self._input.nelement() * self._input.element_size()) + 1
            large = torch.cat([self._input] * rows)
            call = self._call(f"Python, lambda://, {large.nelement() * 4 / 1e6:.1f} MB by S3", session, large)
            yield replace(call, is_large=True)
        with self._session(self._aws.function_url(NAME), token=self._token) as session:
            self._invocations()  # Those of opening it.
            yield self._call("Python, function URL", session, self._input)

    def _cpp_calls(self, what: str, endpoint: str, is_cold: bool) -> Iterator[Call]:
        """By call_function, a session in C++; its calls come together, so that only the first may have been cold."""
        if is_cold:
            self._recycle()
        arguments = self._arguments
        with tempfile.NamedTemporaryFile("w") as token_file:
            token_file.write(self._token)
            token_file.flush()
            program = [CALL_FUNCTION, arguments.model, endpoint, "--input", arguments.input, "--cut", arguments.cut]
            options = ["--calls", str(HOT_CALLS), "--token-file", token_file.name, "--json"]
            done = subprocess.run([*program, *options], capture_output=True, text=True)
        if done.returncode not in (0, 1):  # 1: other bits, which it says.
            raise CallError(f"{CALL_FUNCTION} ended with exit status {done.returncode}: {done.stderr.strip()}")
        said = json.loads(done.stdout)
        first_s, *others_s = said["calls_s"]
        invocations = self._invocations()
        first = len(invocations) - len(others_s)  # Those before are of opening the session, and of the first call.
        what_first = f"{what}, session opened"
        yield Call(what_first, said["open_s"] + first_s, said["same_answer"], is_cold, invocations[:first])
        for took_s, invocation in zip(others_s, invocations[first:], strict=True):
            yield Call(what, took_s, said["same_answer"], False, [invocation])

    def left_in_the_bucket(self) -> int:
        answer = aws_client("s3").list_objects_v2(Bucket=BUCKET)
        return int(answer["KeyCount"])

    def refuses(self, token: str) -> bool:
        """Whether the URL turns a caller with this token away."""
        try:
            with self._session(self._aws.function_url(NAME), token=token) as session:
                session(self._input)
        except splitnet.Unauthenticated:
            return True
        return False

    def _session(self, worker: str, token: str = "") -> splitnet.Session:
        return splitnet.Session(
            self._part, worker=worker, cut=as_cut(self._arguments.cut), threads=1, token=token, finish_on_device=False
        )

    def _recycle(self) -> None:
        self._aws.recycle(NAME)
        self._invocations()

    def _invocations(self) -> list[Invocation]:
        """Since the last time they were asked for."""
        every = self._aws.invocations(NAME)
        new, self._seen = every[self._seen :], len(every)
        return new

    def _call(
        self,
        what: str,
        session: Callable[[torch.Tensor], torch.Tensor],
        tensor: torch.Tensor,
        begun_s: float | None = None,
        is_cold: bool = False,
    ) -> Call:
        begun_s = time.perf_counter() if begun_s is None else begun_s
        answer = session(tensor)
        took_s = time.perf_counter() - begun_s
        return Call(what, took_s, torch.equal(answer, self._whole.run([tensor])[0]), is_cold, self._invocations())


def cost(calls: list[Call], memory_megabytes: int) -> str:
    """Of the calls with the one input, for which no environment had to be started; and what a start adds."""
    hot = [call.invocations[-1] for call in calls if not call.is_cold and not call.is_large]
    billed_s = statistics.median(one.billed_s for one in hot)
    x86 = 1000 * prices.function_dollars(billed_s, memory_megabytes)
    requests = 1000 * prices.FUNCTION_REQUEST
    arm = requests + (x86 - requests) * ARM_SHARE
    start_s = statistics.median(call.init_s for call in calls if call.is_cold)
    start = start_s * memory_megabytes / 1024 * prices.FUNCTION_GIGABYTE_SECOND
    return (
        f"billed {billed_s * 1000:.0f} ms hot at {memory_megabytes} MB: per 1,000 calls {x86:.5f} dollars on x86_64, "
        f"{arm:.5f} on arm64 if it takes as long there; a cold start more {start_s * 1000:.0f} ms, {start:.7f} dollars"
    )


def check(aws: LocalAws, arguments: argparse.Namespace, part: splitnet.Partitioner, token: str) -> int:
    caller = Caller(aws, arguments, part, token)
    calls = []
    for call in caller.calls():
        print(call.text(), flush=True)
        calls.append(call)
    left = caller.left_in_the_bucket()
    refused = caller.refuses("another-token-than-it-has") and caller.refuses("")
    print(f"left in the bucket: {left} objects; a wrong token and none: {'refused' if refused else 'LET IN'}")
    print(cost(calls, arguments.memory))
    return 0 if not any(call.trouble() for call in calls) and left == 0 and refused else 1


def wait(aws: LocalAws) -> None:
    while True:
        for _, line in aws.new_lines():
            print(line, flush=True)
        time.sleep(0.2)


def as_cut(name: str) -> splitnet.Cut:
    """As call_function has it."""
    return splitnet.Cut.at_input() if name == "input" else splitnet.Cut.after(name)


def read_input(spec: str) -> torch.Tensor:
    """Of FILE:SHAPE, float32, little-endian, as call_function has it."""
    path, _, shape = spec.rpartition(":")
    values = torch.frombuffer(bytearray(pathlib.Path(path).read_bytes()), dtype=torch.float32)
    return values.reshape([int(size) for size in shape.split("x")])


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--image", type=pathlib.Path, required=True, help="folder that assemble_image.py made")
    parser.add_argument("--model", type=pathlib.Path, required=True, help="the model that is in it")
    parser.add_argument("--input", required=True, metavar="FILE:SHAPE", help="an input of the model")
    parser.add_argument("--cut", default="input", metavar="NAME", help="behind this layer; the function has it ready")
    parser.add_argument("--memory", type=int, default=1769, metavar="MB", help="of the function")
    parser.add_argument("--concurrency", type=int, default=2, help="calls at once; more are refused")
    parser.add_argument("--check", action="store_true", help="call it and end")
    arguments = parser.parse_args()
    end_on_signals()
    token = secrets.token_hex(32)
    try:
        part = splitnet.Partitioner(arguments.model)
        part.layers.resolve(as_cut(arguments.cut))  # A name that is none is told now, not by the first call.
        with LocalAws(functions=[function(arguments, token)], buckets=[BUCKET]) as aws:
            if arguments.check:
                with in_environment(aws.environment | {"SPLITNET_STORE": STORE}):
                    return check(aws, arguments, part, token)
            for line in instructions(aws, arguments, token):
                print(line, flush=True)
            wait(aws)
    except (splitnet.Error, CallError, OSError, RuntimeError, ValueError) as error:
        print(f"run_here.py: {error}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
