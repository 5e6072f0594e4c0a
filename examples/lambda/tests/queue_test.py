# SPDX-License-Identifier: Apache-2.0
"""A tail behind a queue: a session over sqs://, Lambda's event source, the worker as a function, the reply queue."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest
import torch

import splitnet
from local_aws import LocalAws, SqsSource, tail_function

from .conftest import Clients
from .invoke_test import wait_for
from .s3_trigger_test import waiting

pytestmark = pytest.mark.usefixtures("client")

QUEUE = "requests"
DEAD = "requests-dead"


@pytest.fixture(scope="module")
def aws(model: Path) -> Iterator[LocalAws]:
    tail = tail_function("tail", model, cuts=["first"], timeout_s=5)
    source = SqsSource(
        QUEUE, "tail", batch_size=5, batching_window_s=1, report_batch_item_failures=True, visibility_timeout_s=5
    )
    with LocalAws(functions=[tail], sources=[source], queues=[DEAD]) as started:
        yield started


@pytest.fixture(scope="module")
def clients(aws: LocalAws) -> Clients:
    return Clients(aws)


def session_of(part: splitnet.Partitioner) -> splitnet.Session:
    return splitnet.Session(
        part, worker=f"sqs://{QUEUE}", cut="first", threads=1, max_in_flight=16, deadline_s=60, finish_on_device=False
    )


def whole(part: splitnet.Partitioner, photo: torch.Tensor) -> torch.Tensor:
    output: torch.Tensor = part.run_stages([], [photo], splitnet.StageOptions(threads=1))
    return output


def queues(clients: Clients) -> set[str]:
    found: list[str] = clients.client("sqs").list_queues().get("QueueUrls", [])
    return {url.rsplit("/", 1)[1] for url in found}


def test_the_answer_comes_by_the_reply_queue(
    aws: LocalAws, clients: Clients, part: splitnet.Partitioner, photo: torch.Tensor
) -> None:
    before = queues(clients)
    with session_of(part) as session:
        answer = session.run(photo)
        (replies,) = queues(clients) - before
        assert replies.startswith(f"{QUEUE}-replies-")
    assert torch.equal(answer.output, whole(part, photo))
    assert answer.answered_by == f"sqs://{QUEUE}"
    wait_for(lambda: waiting(clients, QUEUE) == 0 and queues(clients) == before)
    assert aws.invocations("tail") and all(one.error is None for one in aws.invocations("tail"))


def test_many_requests_go_in_few_events_and_each_is_answered_once(
    aws: LocalAws, clients: Clients, part: splitnet.Partitioner
) -> None:
    before = len(aws.invocations("tail"))
    photos = [torch.rand((1, 3, 16, 16), generator=torch.Generator().manual_seed(n)) for n in range(20)]
    with session_of(part) as session:
        outputs = list(session.map(photos, in_flight=16))
        assert session.stats.answered == 20 and session.stats.failed == 0
    assert all(torch.equal(one, whole(part, photo)) for one, photo in zip(outputs, photos, strict=True))
    wait_for(lambda: waiting(clients, QUEUE) == 0)
    assert len(aws.invocations("tail")) - before < 20


def test_what_is_no_request_is_a_dead_letter_and_the_rest_of_its_event_is_answered(
    aws: LocalAws, clients: Clients, part: splitnet.Partitioner, photo: torch.Tensor
) -> None:
    sqs = clients.client("sqs")
    url = sqs.get_queue_url(QueueName=QUEUE)["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="nonsense")
    with session_of(part) as session:
        assert torch.equal(session(photo), whole(part, photo))
    wait_for(lambda: waiting(clients, DEAD) == 1)
    (letter,) = received(sqs, DEAD)
    assert letter["Body"] == "nonsense" and letter["MessageAttributes"]["reason"]["StringValue"]
    wait_for(lambda: waiting(clients, QUEUE) == 0)


def received(sqs: Any, queue: str) -> list[dict[str, Any]]:
    url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
    found: list[dict[str, Any]] = sqs.receive_message(QueueUrl=url, MessageAttributeNames=["All"])["Messages"]
    return found


def test_requests_of_an_environment_that_ends_come_again(
    aws: LocalAws, clients: Clients, part: splitnet.Partitioner, photo: torch.Tensor
) -> None:
    """The function's time runs out while the worker is stopped; the queue shows its requests again to another one."""
    with session_of(part) as session:
        assert torch.equal(session(photo), whole(part, photo))
        stopped = stop_workers()
        future = session.submit(photo)
        assert torch.equal(future.result(60).output, whole(part, photo))
        assert stopped
    assert [one for one in aws.invocations("tail") if one.error and "Timedout" in one.error]


def stop_workers() -> int:
    """SIGSTOP for every worker of this test's functions; Lambda ends them when their time is over."""
    found = [
        one for one in psutil.Process().children(recursive=True)
        if one.name() == "splitnet-worker" and "lambda-runtime://" in one.cmdline()
    ]  # fmt: skip
    for one in found:
        one.suspend()
    return len(found)
