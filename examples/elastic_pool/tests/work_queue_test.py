# SPDX-License-Identifier: Apache-2.0
"""Counting the messages of SQS, moto's server standing in."""

from __future__ import annotations

import http.server
import itertools
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from common.aws_client import aws_client
from elastic_pool.work_queue import QueueCounts, QueueError, SqsQueue
from local_aws.moto_server import MotoServer
from local_aws.processes import free_ports

KEYS = {"AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "an-id", "AWS_SECRET_ACCESS_KEY": "a-key"}


@pytest.fixture(scope="module")
def server() -> Iterator[MotoServer]:
    started = MotoServer()
    started.wait()
    yield started
    started.stop()


@pytest.fixture(scope="module")
def environment(server: MotoServer) -> dict[str, str]:
    return {**KEYS, "AWS_ENDPOINT_URL_SQS": server.url}


@pytest.fixture
def client(environment: dict[str, str]) -> Any:
    return aws_client("sqs", environment)


def names(client: Any) -> set[str]:
    return {url.rsplit("/", 1)[1] for url in client.list_queues().get("QueueUrls", [])}


def test_both_queues_are_made(environment: dict[str, str], client: Any) -> None:
    SqsQueue("made", environment).prepare()
    SqsQueue("made", environment).prepare()  # A second time does no harm.
    assert {"made", "made-dead"} <= names(client)


def test_what_waits_and_what_is_in_flight(environment: dict[str, str], client: Any) -> None:
    queue = SqsQueue("counted", environment)
    queue.prepare()
    url = client.get_queue_url(QueueName="counted")["QueueUrl"]
    assert queue.counts() == QueueCounts(0, 0)
    for number in range(5):
        client.send_message(QueueUrl=url, MessageBody=str(number))
    assert queue.counts() == QueueCounts(5, 0)
    taken = client.receive_message(QueueUrl=url, MaxNumberOfMessages=2)["Messages"]
    assert queue.counts() == QueueCounts(5 - len(taken), len(taken))
    client.delete_message(QueueUrl=url, ReceiptHandle=taken[0]["ReceiptHandle"])
    assert queue.counts() == QueueCounts(5 - len(taken), len(taken) - 1)


@pytest.mark.parametrize("lost", ["lost", "lost-dead"])
def test_queues_that_are_gone_are_made_again(environment: dict[str, str], client: Any, lost: str) -> None:
    queue = SqsQueue("lost", environment)
    queue.prepare()
    client.delete_queue(QueueUrl=client.get_queue_url(QueueName=lost)["QueueUrl"])
    assert queue.counts() == QueueCounts(0, 0)
    assert {"lost", "lost-dead"} <= names(client)


def counted(waiting: object) -> str:
    """To every question, with the least that is asked for."""
    attributes = {"ApproximateNumberOfMessages": waiting, "ApproximateNumberOfMessagesNotVisible": "0"}
    return json.dumps({"QueueUrl": "http://127.0.0.1/work", "Attributes": attributes})


PAGE = "<html>no queue here</html>"
NO_COUNTS = [counted(None), counted([]), counted("many"), counted("-1"), '{"QueueUrl": "u", "Attributes": []}']


@pytest.mark.parametrize(
    ("status", "body"),
    [
        *((status, PAGE) for status in (200, 404, 502)),
        *itertools.product([200, 500], ["[]", '"x"', "null"]),
        *((200, body) for body in NO_COUNTS),
    ],
)
def test_answers_that_are_none(status: int, body: str) -> None:
    """Of a proxy, or of a server that is not yet there."""

    class Proxy(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *values: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Proxy) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        queue = SqsQueue("work", {**KEYS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}"})
        try:
            with pytest.raises(QueueError, match="queue work: "):
                queue.counts()
        finally:
            server.shutdown()
            thread.join()


def test_a_server_that_comes_back_without_its_memory() -> None:
    port = free_ports(1)[0]
    environment = {**KEYS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
    queue = SqsQueue("work", environment)
    with pytest.raises(QueueError, match="queue work: "):
        queue.prepare()
    for _ in range(2):
        server = MotoServer(port)
        server.wait()
        try:
            assert queue.counts() == QueueCounts(0, 0)
            assert names(aws_client("sqs", environment)) == {"work", "work-dead"}
        finally:
            server.stop()
        with pytest.raises(QueueError, match="queue work: "):
            queue.counts()
