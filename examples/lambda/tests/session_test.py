# SPDX-License-Identifier: Apache-2.0
"""What goes wrong between splitnet's own session and a function: each has its error, and the next call is answered."""

from __future__ import annotations

import http.server
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import psutil  # type: ignore[import-untyped]
import pytest
import torch

import splitnet
from common.aws_client import aws_client
from local_aws import Function, LocalAws, tail_function

from .conftest import EXPIRED_TOKEN, RUNTIME, TESTS

pytestmark = pytest.mark.usefixtures("client")

CALL_FUNCTION = TESTS.parents[2] / "build/release/call_function"
INPUT = splitnet.Cut.at_input()
ALWAYS = 1_000
NO_RETRIES = splitnet.SessionOptions(max_retries=0)


@pytest.fixture(scope="module")
def aws(model: Path, hungry_model: Path) -> Iterator[LocalAws]:
    """Tails, each for its own trouble, and runtimes that are none. Clients in this process talk to it."""
    tails = ["tail", "throttled", "failing", "behind", "ahead", "far-off"]
    functions = [
        *(tail_function(name, model, cuts=["input"]) for name in tails),
        tail_function("brief", model, cuts=["input"], timeout_s=2),
        tail_function("alone", model, cuts=["input"], timeout_s=3, concurrency=1),
        tail_function("hungry", hungry_model, cuts=["first"], memory_megabytes=512),
        Function("exits", [*RUNTIME, "exit at start"], timeout_s=5),
        Function("fails", [*RUNTIME, "fail at start"], timeout_s=5),
        Function("hangs", [*RUNTIME, "hang at start"], timeout_s=1),
        Function("stranger", RUNTIME, timeout_s=5),
    ]
    with LocalAws(functions=functions, expired_session_tokens=[EXPIRED_TOKEN]) as started:
        yield started


@pytest.fixture(scope="module")
def answer(part: splitnet.Partitioner, photo: torch.Tensor) -> torch.Tensor:
    """Of the model in one piece."""
    (whole,) = part.stages([], splitnet.StageOptions(threads=1))
    found: torch.Tensor = whole.run([photo])[0]
    return found


def opened(
    part: splitnet.Partitioner, function: str, cut: splitnet.Cut = INPUT, finish_on_device: bool = False
) -> splitnet.Session:
    """Asks once; what the function does not answer is seen."""
    return splitnet.Session(
        part,
        worker=f"lambda://{function}",
        cut=cut,
        threads=1,
        finish_on_device=finish_on_device,
        options=NO_RETRIES,
    )


def asked_anew(
    part: splitnet.Partitioner, function: str, tensor: torch.Tensor, cut: splitnet.Cut = INPUT
) -> torch.Tensor:
    """By a new session: one whose worker has failed leaves it alone for a moment."""
    with opened(part, function, cut) as session:
        found: torch.Tensor = session(tensor)
        return found


def worker_pid(function: str) -> int:
    """Of the one worker that runs for it."""
    children = psutil.Process().children(recursive=True)
    named = {"AWS_LAMBDA_FUNCTION_NAME": function}.items()
    (worker,) = [one for one in children if one.name() == "splitnet-worker" and named <= one.environ().items()]
    pid: int = worker.pid
    return pid


def fails_when_hit(
    part: splitnet.Partitioner, function: str, tensor: torch.Tensor, number: signal.Signals, words: str
) -> None:
    """The second call, before which the worker gets the signal."""
    with opened(part, function) as session:
        session(tensor)
        os.kill(worker_pid(function), number)
        with pytest.raises(splitnet.Unavailable, match=words):
            session(tensor)


def test_throttled(aws: LocalAws, part: splitnet.Partitioner, photo: torch.Tensor, answer: torch.Tensor) -> None:
    with opened(part, "throttled") as session:
        assert torch.equal(session(photo), answer)
        aws.fail("throttled", status=429, retry_after_s=7)
        with pytest.raises(splitnet.Overloaded, match="TooManyRequests") as raised:
            session(photo)
        assert raised.value.retry_after_s == 7


def test_throttled_when_all_places_are_taken(
    aws: LocalAws, part: splitnet.Partitioner, photo: torch.Tensor, answer: torch.Tensor
) -> None:
    with opened(part, "alone") as session:
        session(photo)
        os.kill(worker_pid("alone"), signal.SIGSTOP)
        errors = [call.exception() for call in [session.submit(photo) for _ in range(2)]]
    refused, ended = sorted(errors, key=lambda error: isinstance(error, splitnet.Unavailable))
    assert isinstance(refused, splitnet.Overloaded) and "Rate Exceeded" in str(refused)
    assert isinstance(ended, splitnet.Unavailable) and "timed out after 3" in str(ended)
    assert torch.equal(asked_anew(part, "alone", photo), answer)


def test_the_service_is_at_fault(
    aws: LocalAws, part: splitnet.Partitioner, photo: torch.Tensor, answer: torch.Tensor
) -> None:
    for status in (500, 503):
        with opened(part, "failing") as session:
            session(photo)
            aws.fail("failing", status=status)
            with pytest.raises(splitnet.Unavailable, match=str(status)):
                session(photo)
    assert torch.equal(asked_anew(part, "failing", photo), answer)


def test_the_device_finishes_what_the_function_does_not(
    aws: LocalAws, part: splitnet.Partitioner, photo: torch.Tensor, answer: torch.Tensor
) -> None:
    with opened(part, "throttled", finish_on_device=True) as session:
        assert session.run(photo).answered_by == "lambda://throttled"
        for status in (429, 500):
            aws.fail("throttled", status=status)
            found = session.run(photo)
            assert found.answered_by == "" and torch.equal(found.output, answer)


def test_a_function_that_times_out(
    aws: LocalAws, part: splitnet.Partitioner, photo: torch.Tensor, answer: torch.Tensor
) -> None:
    fails_when_hit(part, "brief", photo, signal.SIGSTOP, "timed out after 2")
    assert torch.equal(asked_anew(part, "brief", photo), answer)
    assert [one.is_cold for one in aws.invocations("brief")] == [True, False, False, True, False]


def test_a_function_that_crashes(
    aws: LocalAws, part: splitnet.Partitioner, photo: torch.Tensor, answer: torch.Tensor
) -> None:
    fails_when_hit(part, "tail", photo, signal.SIGKILL, "Runtime exited")
    assert torch.equal(asked_anew(part, "tail", photo), answer)


def test_a_function_that_runs_out_of_memory(aws: LocalAws, hungry_model: Path) -> None:
    part = splitnet.Partitioner(hungry_model)
    first, rows = splitnet.Cut.after("first"), torch.ones(12, 8)
    with opened(part, "hungry", first) as session:
        few = session(rows[:1])
        with pytest.raises(splitnet.Unavailable, match="signal: killed"):
            session(rows)
    assert torch.equal(asked_anew(part, "hungry", rows[:1], first), few)
    assert max(one.peak_memory_bytes for one in aws.invocations("hungry")) > 450 * 2**20


@pytest.mark.parametrize(
    ("function", "kind", "words"),
    [
        ("exits", splitnet.Unavailable, "exit status 7"),
        ("fails", splitnet.Internal, "Test.NoModel: no model"),
        ("hangs", splitnet.Unavailable, "timed out after 1"),
        ("stranger", splitnet.Corrupt, "sent a request instead of a reply"),
        ("nobody", splitnet.InvalidArgument, "eu-central-1.*in this region"),
    ],
)
def test_functions_that_no_session_can_open(
    part: splitnet.Partitioner, function: str, kind: type[splitnet.Error], words: str
) -> None:
    with pytest.raises(kind, match=words) as raised:
        opened(part, function)
    assert function in str(raised.value)


def test_the_wrong_region(part: splitnet.Partitioner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "us-west-2")
    with pytest.raises(splitnet.InvalidArgument, match="lambda in us-west-2 .*is the region .*that of the endpoint"):
        opened(part, "tail")


@pytest.mark.parametrize(("function", "skew_s"), [("ahead", 3_600), ("behind", -3_600)])
def test_a_clock_that_is_an_hour_off(
    aws: LocalAws,
    part: splitnet.Partitioner,
    photo: torch.Tensor,
    answer: torch.Tensor,
    function: str,
    skew_s: float,
) -> None:
    """Of the service, as seen from here. Its answer has its time, with which the request is signed once more."""
    aws.fail(function, times=ALWAYS, clock_skew_s=skew_s)
    with opened(part, function) as session:
        assert torch.equal(session(photo), answer)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"AWS_SESSION_TOKEN": EXPIRED_TOKEN}, "have expired: get new ones"),
        ({"AWS_SECRET_ACCESS_KEY": "another-secret-than-it-has"}, "does not match"),
        ({"AWS_ACCESS_KEY_ID": "AKIDNOBODY"}, "access key is unknown there"),
        ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "AWS_ACCESS_KEY_ID"),
    ],
    ids=["expired", "wrong secret", "unknown key", "missing"],
)
def test_credentials_that_are_not_good(
    aws: LocalAws, model: Path, photo: torch.Tensor, tmp_path: Path, changes: dict[str, str], words: str
) -> None:
    """By the session in C++: a process looks for them once."""
    (tmp_path / "photo.bin").write_bytes(photo.numpy().tobytes())
    command: list[str | Path] = [CALL_FUNCTION, model, "lambda://tail", "--input", f"{tmp_path}/photo.bin:1x3x16x16"]
    environment = aws.environment | changes | {"HOME": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == 2 and done.stderr.startswith("call_function: unauthenticated: "), done.stderr
    assert words in done.stderr
    for secret in (environment["AWS_SECRET_ACCESS_KEY"], EXPIRED_TOKEN):
        assert not secret or secret not in done.stderr


class Recorder(http.server.BaseHTTPRequestHandler):
    """Lets a session connect, keeps the first event and answers that there is no place."""

    events: ClassVar[list[bytes]] = []

    def do_POST(self) -> None:
        event = self.rfile.read(int(self.headers["Content-Length"]))
        connects = self.headers["X-Amz-Invocation-Type"] == "DryRun"
        if not connects:
            self.events.append(event)
        self.send_response(204 if connects else 429)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_an_event_that_is_played_again_is_answered_again(
    aws: LocalAws, part: splitnet.Partitioner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does no harm: the function answers both, with the same, and goes on."""
    Recorder.events.clear()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Recorder) as listener:
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        with monkeypatch.context() as elsewhere:
            elsewhere.setenv("AWS_ENDPOINT_URL_LAMBDA", f"http://127.0.0.1:{listener.server_port}")
            with pytest.raises(splitnet.Overloaded):
                opened(part, "tail")
        listener.shutdown()
    event = Recorder.events[0]
    client = aws_client("lambda")
    replies = [client.invoke(FunctionName="tail", Payload=event) for _ in range(2)]
    assert [reply.get("FunctionError") for reply in replies] == [None, None]
    sizes = {len(reply["Payload"].read()) for reply in replies}
    assert max(sizes) - min(sizes) < 100, "they differ by their times alone"
