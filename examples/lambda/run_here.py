# SPDX-License-Identifier: Apache-2.0
"""The deployed function on this machine: the assembled image under Lambda's own emulator, behind local_aws.

    run_here.py --image ROOT --model MODEL.pt --input FILE.bin:SHAPE [--memory MB] [--concurrency N] [--check]

Prints how to call it and what it logs, until it is interrupted. With --check it is called: cold, hot, through the function
URL, and with more than an invocation takes; exit status 1 when an answer is not the model's.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import secrets
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import boto3  # type: ignore[import-untyped]
import torch

import splitnet
from common import prices
from local_aws import Function, LocalAws

HERE = pathlib.Path(__file__).resolve().parent
NAME, BUCKET = "splitnet-tail", "splitnet-bodies"
INVOCATION_BYTES = 6 * 2**20
#: A gigabyte-second on arm64 costs 13.3334 millionths of a dollar where one on x86_64 costs 16.6667 (us-east-1).
ARM_SHARE = 13.3334 / 16.6667


@dataclass(frozen=True)
class Call:
    """One inference that the function finished, and whether it gave the bits of the model in one piece."""

    what: str
    took_s: float
    init_s: float | None  #: The start of the execution environment, where there was one.
    same_bits: bool


def function(arguments: argparse.Namespace, token: str) -> Function:
    """As the Dockerfile and template.yaml have it."""
    shape = arguments.input.rpartition(":")[2]
    worker = ["/bootstrap", "/splitnet-worker", "--listen", "lambda-runtime://", "--log-format", "json"]
    return Function(
        name=NAME,
        command=[str(HERE / "in_image"), str(arguments.image.resolve()), *worker, f"/models/{arguments.model.stem}.pt",
                 "--threads", "1", "--input", shape],
        environment={"OMP_NUM_THREADS": "1", "SPLITNET_STORE": f"s3://{BUCKET}/bodies", "SPLITNET_TOKEN": token},
        memory_megabytes=arguments.memory,
        timeout_s=30,
        concurrency=arguments.concurrency,
    )  # fmt: skip


def instructions(aws: LocalAws, arguments: argparse.Namespace, token: str) -> Iterator[str]:
    model = arguments.model
    yield "In another shell:"
    variables = aws.environment | {"SPLITNET_STORE": f"s3://{BUCKET}/bodies"}
    yield "  export " + " ".join(f"{name}={value}" for name, value in sorted(variables.items()))
    yield "C++:"
    yield f"  build/release/call_function {model} lambda://{NAME} --input {arguments.input} --calls 5"
    yield "Python:"
    yield f'  splitnet.Session(splitnet.Partitioner("{model}"), worker="lambda://{NAME}", cut=splitnet.Cut.at_input())'
    yield "By its URL, as through API Gateway, with the token:"
    yield f'  splitnet.Session(…, worker="{aws.function_url(NAME)}", token="{token}")'
    yield f"Memory: {aws.limits}"


class Caller:
    """Compares what the function finishes with the model in one piece, on this machine."""

    def __init__(self, aws: LocalAws, arguments: argparse.Namespace, token: str) -> None:
        self._aws = aws
        self._token = token
        self._part = splitnet.Partitioner(arguments.model)
        self._input: torch.Tensor = read_input(arguments.input)
        (self._whole,) = self._part.stages([], splitnet.StageOptions(threads=1))

    def calls(self) -> Iterator[Call]:
        self._aws.recycle(NAME)
        begun_s = time.perf_counter()
        with self._session(f"lambda://{NAME}") as session:
            first = self._call("lambda://, cold, session opened", session, self._input, begun_s)
            yield replace(first, init_s=[one.init_s for one in self._aws.invocations(NAME) if one.is_cold][-1])
            for _ in range(3):
                yield self._call("lambda://, hot", session, self._input)
            rows = INVOCATION_BYTES // (self._input.nelement() * self._input.element_size()) + 1
            large = torch.cat([self._input] * rows)
            yield self._call(f"lambda://, {large.nelement() * 4 / 1e6:.1f} MB by S3", session, large)
        with self._session(self._aws.function_url(NAME), token=self._token) as session:
            yield self._call("function URL, hot", session, self._input)

    def left_in_the_bucket(self) -> int:
        answer = boto3.client("s3").list_objects_v2(Bucket=BUCKET)
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
            self._part, worker=worker, cut=splitnet.Cut.at_input(), threads=1, token=token, finish_on_device=False
        )

    def _call(
        self,
        what: str,
        session: Callable[[torch.Tensor], torch.Tensor],
        tensor: torch.Tensor,
        begun_s: float | None = None,
    ) -> Call:
        begun_s = time.perf_counter() if begun_s is None else begun_s
        answer = session(tensor)
        took_s = time.perf_counter() - begun_s
        return Call(what, took_s, None, torch.equal(answer, self._whole.run([tensor])[0]))


def cost(aws: LocalAws, memory_megabytes: int) -> str:
    billed_s = statistics.median(one.billed_s for one in aws.invocations(NAME) if not one.is_cold)
    x86 = 1000 * prices.function_dollars(billed_s, memory_megabytes)
    requests = 1000 * prices.FUNCTION_REQUEST
    arm = requests + (x86 - requests) * ARM_SHARE
    return (
        f"billed {billed_s * 1000:.0f} ms hot at {memory_megabytes} MB: per 1,000 calls {x86:.5f} dollars on x86_64, "
        f"{arm:.5f} on arm64 if it takes as long there"
    )


def check(aws: LocalAws, arguments: argparse.Namespace, token: str) -> int:
    os.environ |= aws.environment | {"SPLITNET_STORE": f"s3://{BUCKET}/bodies"}
    caller = Caller(aws, arguments, token)
    calls = list(caller.calls())
    for call in calls:
        start = "" if call.init_s is None else f", of which {call.init_s * 1000:.0f} ms to start"
        bits = "the model's bits" if call.same_bits else "OTHER BITS"
        print(f"{call.what:34} {call.took_s * 1000:8.1f} ms{start}: {bits}")
    left = caller.left_in_the_bucket()
    refused = caller.refuses("another-token-than-it-has") and caller.refuses("")
    print(f"left in the bucket: {left} objects; a wrong token and none: {'refused' if refused else 'LET IN'}")
    print(cost(aws, arguments.memory))
    return 0 if all(call.same_bits for call in calls) and left == 0 and refused else 1


def wait(aws: LocalAws) -> None:
    try:
        while True:
            for _, line in aws.new_lines():
                print(line, flush=True)
            time.sleep(0.2)
    except KeyboardInterrupt:
        print("ending")


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
    parser.add_argument("--memory", type=int, default=1769, metavar="MB", help="of the function")
    parser.add_argument("--concurrency", type=int, default=2, help="calls at once; more are refused")
    parser.add_argument("--check", action="store_true", help="call it and end")
    arguments = parser.parse_args()
    token = secrets.token_hex(32)
    with LocalAws(functions=[function(arguments, token)], buckets=[BUCKET]) as aws:
        if arguments.check:
            return check(aws, arguments, token)
        for line in instructions(aws, arguments, token):
            print(line, flush=True)
        wait(aws)
    return 0


if __name__ == "__main__":
    sys.exit(main())
