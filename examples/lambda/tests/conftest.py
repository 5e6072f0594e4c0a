# SPDX-License-Identifier: Apache-2.0
"""One AWS for all tests, and clients for it as a user has them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import splitnet
from common.aws_client import aws_client
from local_aws import Function, LocalAws, S3Trigger, SqsSource

TESTS = Path(__file__).resolve().parent
RUNTIME = [sys.executable, "-I", str(TESTS / "runtime.py")]
EXPIRED_TOKEN = "a-session-that-is-over"

FUNCTIONS = [
    Function("plain", RUNTIME, environment={"COLOUR": "blue"}, timeout_s=10),
    Function("brief", RUNTIME, timeout_s=1, concurrency=1),
    Function("pair", RUNTIME, timeout_s=10, concurrency=2),
    Function("small", RUNTIME, memory_megabytes=128, timeout_s=20),
    Function("quicker", RUNTIME, memory_megabytes=708, timeout_s=10),
    Function("slower", RUNTIME, memory_megabytes=354, timeout_s=10),
    Function("exits", [*RUNTIME, "exit at start"], timeout_s=5),
    Function("fails", [*RUNTIME, "fail at start"], timeout_s=5),
    Function("hangs", [*RUNTIME, "hang at start"], timeout_s=1),
    Function(
        "indexer",
        [sys.executable, "-m", "awslambdaric", "indexer.handle"],
        environment={"TABLE": "pictures"},
        directory=str(TESTS),
        timeout_s=20,
    ),
    Function("broken", RUNTIME, timeout_s=5),
    Function("reader", RUNTIME, timeout_s=2),
    Function("reporter", RUNTIME, environment={"REPORTS": "1"}, timeout_s=2),
    Function("gatherer", RUNTIME, timeout_s=2),
    Function("patient", RUNTIME, timeout_s=2),
    Function("crowd", RUNTIME, timeout_s=5, concurrency=4),
]
SOURCES = [
    SqsSource("read", "reader", visibility_timeout_s=2, max_receives=2),
    SqsSource("reported", "reporter", visibility_timeout_s=2, report_batch_item_failures=True),
    SqsSource("gathered", "gatherer", batch_size=25, batching_window_s=2),
    SqsSource("forgotten", "patient", visibility_timeout_s=2),
    SqsSource("crowded", "crowd", batch_size=1, max_concurrency=2),
]


@pytest.fixture(scope="session")
def aws() -> Iterator[LocalAws]:
    with LocalAws(
        functions=FUNCTIONS,
        buckets=["photos", "refused"],
        tables=[("pictures", "picture_url")],
        triggers=[
            S3Trigger("photos", "indexer", prefix="in/"),
            S3Trigger("refused", "broken", max_tries=2, retry_delay_s=0),
        ],
        sources=SOURCES,
        expired_session_tokens=[EXPIRED_TOKEN],
    ) as running:
        yield running


class Clients:
    """boto3's, without retries."""

    def __init__(self, aws: LocalAws) -> None:
        self._environment = aws.environment
        self._lambda = self.client("lambda")

    def client(self, service: str, **changes: str) -> Any:
        """`changes` replace variables of the environment."""
        return aws_client(service, self._environment | changes)

    def invoke(self, function: str, event: Any, **more: Any) -> dict[str, Any]:
        """The answer, with `value`: the payload as JSON."""
        answer: dict[str, Any] = self._lambda.invoke(FunctionName=function, Payload=json.dumps(event), **more)
        payload = answer["Payload"].read()
        answer["value"] = json.loads(payload) if payload else None
        return answer


@pytest.fixture(scope="session")
def clients(aws: LocalAws) -> Clients:
    return Clients(aws)


@pytest.fixture
def client(aws: LocalAws, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sessions of this process ask this AWS."""
    for name, value in aws.environment.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def part(model: Path) -> splitnet.Partitioner:
    return splitnet.Partitioner(model)
