# SPDX-License-Identifier: Apache-2.0
"""Uploads start functions: S3, queue, function under Lambda's Python runtime, DynamoDB; and the dead letters."""

from __future__ import annotations

import json
import time
from typing import Any

from local_aws import LocalAws

from .conftest import Clients
from .invoke_test import wait_for


def upload(clients: Clients, bucket: str, key: str, data: bytes) -> None:
    clients.client("s3").put_object(Bucket=bucket, Key=key, Body=data, ContentType="application/octet-stream")


def item_of(clients: Clients, url: str) -> dict[str, Any] | None:
    answer = clients.client("dynamodb").get_item(TableName="pictures", Key={"picture_url": {"S": url}})
    found: dict[str, Any] | None = answer.get("Item")
    return found


def test_upload_becomes_an_item(aws: LocalAws, clients: Clients) -> None:
    url = "s3://photos/in/holiday 2026/cat+dog ü.jpg"
    upload(clients, "photos", url.removeprefix("s3://photos/"), b"a photo")
    wait_for(lambda: item_of(clients, url) is not None)
    item = item_of(clients, url)
    assert item is not None
    assert item["text"]["S"] == "a photo"
    assert item["raw_key"]["S"] == "in/holiday+2026/cat%2Bdog+%C3%BC.jpg"
    assert item["event_name"]["S"] == "ObjectCreated:Put"
    assert int(item["sequencer"]["S"], 16) > 0
    assert item["memory"]["S"] == "1769"
    wait_for(lambda: waiting(clients, "indexer-events-photos") == 0)


def test_many_uploads_and_none_of_another_prefix(aws: LocalAws, clients: Clients) -> None:
    before = len(aws.invocations("indexer"))
    upload(clients, "photos", "out/not-this.jpg", b"x")
    for index in range(8):
        upload(clients, "photos", f"in/{index}.jpg", b"photo %d" % index)
    wait_for(lambda: len(aws.invocations("indexer")) == before + 8)
    for index in range(8):
        item = item_of(clients, f"s3://photos/in/{index}.jpg")
        assert item is not None and item["text"]["S"] == f"photo {index}"
    assert all(one.error is None for one in aws.invocations("indexer")[before:])


def waiting(clients: Clients, queue: str) -> int:
    sqs = clients.client("sqs")
    url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return sum(int(found[name]) for name in names)


def test_event_whose_function_fails_is_a_dead_letter(aws: LocalAws, clients: Clients) -> None:
    upload(clients, "refused", "poison.jpg", b"x")
    wait_for(lambda: waiting(clients, "broken-dead-letters") == 1)
    tries = aws.invocations("broken")
    assert len(tries) == 2
    assert all(one.error and one.error.endswith("Runtime exited with error: exit status 1") for one in tries)
    assert waiting(clients, "broken-events-refused") == 0
    sqs = clients.client("sqs")
    url = sqs.get_queue_url(QueueName="broken-dead-letters")["QueueUrl"]
    letter = json.loads(sqs.receive_message(QueueUrl=url)["Messages"][0]["Body"])
    assert letter["Records"][0]["s3"]["object"]["key"] == "poison.jpg"


def test_a_queue_that_was_gone_carries_events_when_it_is_back(aws: LocalAws, clients: Clients) -> None:
    sqs = clients.client("sqs")
    url = sqs.get_queue_url(QueueName="indexer-events-photos")["QueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout", "RedrivePolicy"])
    sqs.delete_queue(QueueUrl=url)
    time.sleep(3)  # Longer than a question waits: it was told that there is none.
    sqs.create_queue(QueueName="indexer-events-photos", Attributes=attributes["Attributes"])
    upload(clients, "photos", "in/late.jpg", b"a late photo")
    wait_for(lambda: item_of(clients, "s3://photos/in/late.jpg") is not None)
    wait_for(lambda: waiting(clients, "indexer-events-photos") == 0)
