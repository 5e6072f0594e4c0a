# SPDX-License-Identifier: Apache-2.0
"""Messages of queues start functions: what an event holds, what comes again, and how many run at once."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from local_aws import LocalAws
from local_aws.sqs_source import BadResponse, failures_of

from .conftest import RUNTIME, TESTS, Clients
from .invoke_test import wait_for
from .s3_trigger_test import waiting


def send(clients: Clients, queue: str, *bodies: dict[str, Any]) -> list[str]:
    """Their identifiers. In batches, as producers send them."""
    sqs = clients.client("sqs")
    url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
    sent: dict[str, str] = {}
    for begin in range(0, len(bodies), 10):
        entries = [
            {"Id": str(begin + number), "MessageBody": json.dumps(body)}
            for number, body in enumerate(bodies[begin : begin + 10])
        ]
        done = sqs.send_message_batch(QueueUrl=url, Entries=entries)["Successful"]
        sent |= {one["Id"]: one["MessageId"] for one in done}
    return [sent[str(number)] for number in range(len(bodies))]


def lines(aws: LocalAws, function: str) -> list[dict[str, Any]]:
    """What tests/runtime.py wrote about its batches."""
    return [json.loads(line) for line in aws.log(function) if line.startswith('{"pid"')]


def batches(aws: LocalAws, function: str) -> list[list[dict[str, Any]]]:
    return [line["messages"] for line in lines(aws, function) if "messages" in line]


def receives(aws: LocalAws, function: str, message: str) -> list[int]:
    """How often it had been received, each time that the function had it."""
    return [
        int(one["attributes"]["ApproximateReceiveCount"])
        for batch in batches(aws, function)
        for one in batch
        if one["messageId"] == message
    ]


def test_an_event_is_as_documented_and_its_message_is_deleted(aws: LocalAws, clients: Clients) -> None:
    sqs = clients.client("sqs")
    url = sqs.get_queue_url(QueueName="read")["QueueUrl"]
    attributes = {
        "text": {"DataType": "String", "StringValue": "a word"},
        "bytes": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
    }
    sent = sqs.send_message(QueueUrl=url, MessageBody='{"n": 1}', MessageAttributes=attributes)
    wait_for(lambda: receives(aws, "reader", sent["MessageId"]) == [1])
    (record,) = [one for batch in batches(aws, "reader") for one in batch if one["messageId"] == sent["MessageId"]]
    assert record["body"] == '{"n": 1}' and record["md5OfBody"] == sent["MD5OfMessageBody"]
    assert record["eventSource"] == "aws:sqs" and record["awsRegion"] == aws.environment["AWS_REGION"]
    assert record["eventSourceARN"].startswith("arn:aws:sqs:") and record["eventSourceARN"].endswith(":read")
    assert record["receiptHandle"]
    assert {"ApproximateFirstReceiveTimestamp", "SenderId", "SentTimestamp"} <= record["attributes"].keys()
    text, data = record["messageAttributes"]["text"], record["messageAttributes"]["bytes"]
    assert (text["stringValue"], text["dataType"]) == ("a word", "String")
    assert (data["binaryValue"], data["dataType"]) == ("AP8=", "Binary")
    wait_for(lambda: waiting(clients, "read") == 0)


def test_many_messages_come_in_few_events(aws: LocalAws, clients: Clients) -> None:
    """More than one ReceiveMessage gives, and what is sent within the window comes along."""
    sent = send(clients, "gathered", *({"n": number} for number in range(40)))
    wait_for(lambda: waiting(clients, "gathered") == 0)
    found = batches(aws, "gatherer")
    assert sorted(one["messageId"] for batch in found for one in batch) == sorted(sent)
    assert max(len(batch) for batch in found) == 25, "the first event is full"
    assert len(found) < 6


def test_when_the_function_fails_the_whole_batch_comes_again(aws: LocalAws, clients: Clients) -> None:
    good, bad = send(clients, "read", {"n": 1}, {"n": 2, "succeeds_at": 2})
    wait_for(lambda: receives(aws, "reader", bad) == [1, 2])
    together = [batch for batch in batches(aws, "reader") if {good, bad} <= {one["messageId"] for one in batch}]
    assert receives(aws, "reader", good) == ([1, 2] if together else [1])
    wait_for(lambda: waiting(clients, "read") == 0)


def test_of_a_batch_only_what_failed_comes_again(aws: LocalAws, clients: Clients) -> None:
    sent = send(clients, "reported", {"n": 1}, {"n": 2, "succeeds_at": 3}, {"n": 3})
    wait_for(lambda: receives(aws, "reporter", sent[1]) == [1, 2, 3])
    assert [receives(aws, "reporter", one) for one in (sent[0], sent[2])] == [[1], [1]]
    wait_for(lambda: waiting(clients, "reported") == 0)
    assert all(one.error is None for one in aws.invocations("reporter"))


def test_what_fails_too_often_is_a_dead_letter(aws: LocalAws, clients: Clients) -> None:
    (poison,) = send(clients, "read", {"succeeds_at": 100})
    wait_for(lambda: waiting(clients, "read-dead-letters") == 1)
    assert receives(aws, "reader", poison) == [1, 2]
    assert waiting(clients, "read") == 0


def test_a_queue_that_was_gone_is_read_when_it_is_back(aws: LocalAws, clients: Clients) -> None:
    sqs = clients.client("sqs")
    sqs.delete_queue(QueueUrl=sqs.get_queue_url(QueueName="forgotten")["QueueUrl"])
    time.sleep(3)  # Longer than a question waits: it was told that there is none.
    sqs.create_queue(QueueName="forgotten")
    send(clients, "forgotten", {"number": 7})
    wait_for(lambda: len(batches(aws, "patient")) == 1)


def test_no_more_run_at_once_than_the_source_allows(aws: LocalAws, clients: Clients) -> None:
    send(clients, "crowded", *({"seconds": 0.2} for _ in range(8)))
    wait_for(lambda: len(batches(aws, "crowd")) == 8 and waiting(clients, "crowded") == 0)
    times = lines(aws, "crowd")
    running = most = 0
    for line in sorted(times, key=lambda one: one.get("begun_s", one.get("ended_s", 0))):
        running += 1 if "begun_s" in line else -1
        most = max(most, running)
    assert most == 2
    assert len({line["pid"] for line in times}) == 2


@pytest.mark.parametrize("payload", [b"", b"null", b"{}", b'{"batchItemFailures": []}', b'{"batchItemFailures": null}'])
def test_no_failures(payload: bytes) -> None:
    assert failures_of(payload, {"a", "b"}) == set()


@pytest.mark.parametrize(
    "payload",
    [
        b"nonsense", b"3", b'{"batchItemFailures": [{"itemIdentifier": ""}]}', b'{"batchItemFailures": [{}]}',
        b'{"batchItemFailures": [{"itemIdentifier": null}]}', b'{"batchItemFailures": ["a"]}',
        b'{"batchItemFailures": [{"itemIdentifier": "c"}]}', b'{"batchItemFailures": [{"itemIdentifier": ["a"]}]}',
    ],
)  # fmt: skip
def test_a_response_that_says_nothing_is_a_failure_of_all(payload: bytes) -> None:
    assert failures_of(b'{"batchItemFailures": [{"itemIdentifier": "a"}]}', {"a", "b"}) == {"a"}
    with pytest.raises(BadResponse):
        failures_of(payload, {"a", "b"})


def test_a_queue_that_hides_messages_for_too_short_a_time_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "aws.toml"
    path.write_text(
        f"[[functions]]\nname = 'f'\ncommand = {json.dumps(RUNTIME)}\ntimeout_s = 10\n"
        "[[sources]]\nqueue = 'q'\nfunction = 'f'\nvisibility_timeout_s = 5\n"
    )
    shown = subprocess.run(
        [sys.executable, "-m", "local_aws", str(path)], cwd=TESTS.parent, capture_output=True, text=True
    )
    assert shown.returncode == 1
    assert "Queue visibility timeout: 5 seconds is less than Function timeout: 10 seconds" in shown.stderr
