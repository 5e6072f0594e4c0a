# SPDX-License-Identifier: Apache-2.0
"""Messages of a queue invoke a function, as Lambda's event source mapping for SQS does (lambda/latest/dg/with-sqs).

Batches are collected by long polling and handed to the function as an event. After success they are deleted; otherwise
they stay, and come again when the queue's visibility timeout is over, or before when the function has shortened it.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from common.aws_client import aws_client

from .configuration import SqsSource
from .function import FunctionPool, Throttled
from .queue_carrier import carry_all

_POLL_S = 2
_RECEIVE_MOST = 10  # Of one call of ReceiveMessage.
_EVENT_BYTES = 6 * 2**20  # Of an invocation.


class BadResponse(ValueError):
    """What a function answered is no list of failures: all of its batch has failed."""


@dataclass
class _Batch:
    messages: list[dict[str, Any]] = field(default_factory=list)
    size_bytes: int = 0
    received_s: float = 0.0

    def add(self, message: dict[str, Any], record: dict[str, Any]) -> None:
        self.received_s = self.received_s or time.monotonic()
        self.messages.append(message)
        self.size_bytes += len(json.dumps(record))


class SqsPoller:
    """Carries the messages of one source, as many batches at a time as the function and the source take."""

    def __init__(self, source: SqsSource, pool: FunctionPool, environment: Mapping[str, str]) -> None:
        """Raises ValueError: messages would come again while the function works on them."""
        self._source = source
        self._pool = pool
        self._region = environment["AWS_REGION"]
        self._sqs = aws_client("sqs", environment)
        self._visibility_s = source.visibility_timeout_s or 6 * pool.function.timeout_s
        if self._visibility_s < pool.function.timeout_s:
            raise ValueError(
                f"Queue visibility timeout: {self._visibility_s} seconds is less than Function timeout: "
                f"{pool.function.timeout_s} seconds"
            )
        self._url = self._arn = ""
        self._left_over: list[dict[str, Any]] = []

    def create(self) -> None:
        """The queue and its dead-letter queue. Blocks."""
        attributes = {"VisibilityTimeout": str(self._visibility_s)}
        if self._source.max_receives:
            dead = self._sqs.create_queue(QueueName=self._source.dead_letter_queue)["QueueUrl"]
            redrive = {"deadLetterTargetArn": self._arn_of(dead), "maxReceiveCount": str(self._source.max_receives)}
            attributes["RedrivePolicy"] = json.dumps(redrive)
        self._url = self._sqs.create_queue(QueueName=self._source.queue, Attributes=attributes)["QueueUrl"]
        self._arn = self._arn_of(self._url)

    def _arn_of(self, url: str) -> str:
        found = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        return str(found["Attributes"]["QueueArn"])

    async def run(self) -> None:
        """Until it is cancelled; a queue that can't be asked is asked again."""
        most = self._pool.function.concurrency
        await carry_all(self._collect, self._carry, min(most, self._source.max_concurrency or most))

    def _collect(self) -> _Batch | None:
        """Until it is full, or the window is over that begins with its first message; None: no message came."""
        batch = _Batch()
        while len(batch.messages) < self._source.batch_size:
            if not self._left_over:
                left_s = self._source.batching_window_s - (time.monotonic() - batch.received_s)
                if batch.messages and left_s <= 0:
                    break
                wait_s = _POLL_S if not batch.messages else min(_POLL_S, int(left_s) + 1)
                self._left_over = self._receive(self._source.batch_size - len(batch.messages), wait_s)
            if not self._left_over:
                if not batch.messages:
                    break
                continue
            record = self._record(self._left_over[0])
            if batch.messages and batch.size_bytes + len(json.dumps(record)) > _EVENT_BYTES:
                break
            batch.add(self._left_over.pop(0), record)
        return batch if batch.messages else None

    def _receive(self, most: int, wait_s: int) -> list[dict[str, Any]]:
        answer = self._sqs.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=min(most, _RECEIVE_MOST),
            WaitTimeSeconds=wait_s,
            AttributeNames=["All"],
            MessageAttributeNames=["All"],
        )
        found: list[dict[str, Any]] = answer.get("Messages", [])
        return found

    def _record(self, message: dict[str, Any]) -> dict[str, Any]:
        """Of the event, as lambda/latest/dg/with-sqs shows it."""
        return {
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": message.get("Attributes", {}),
            "messageAttributes": {
                name: _attribute(value) for name, value in message.get("MessageAttributes", {}).items()
            },
            "md5OfBody": message["MD5OfBody"],
            "eventSource": "aws:sqs",
            "eventSourceARN": self._arn,
            "awsRegion": self._region,
        }

    async def _carry(self, batch: _Batch) -> None:
        done = await self._done(batch)
        if done:
            await asyncio.to_thread(self._delete, done)

    async def _done(self, batch: _Batch) -> list[dict[str, Any]]:
        """Those messages that need not come again. Throttling is waited out as long as they are hidden."""
        event = json.dumps({"Records": [self._record(one) for one in batch.messages]}).encode()
        while True:
            try:
                result = await self._pool.invoke(event, {})
                break
            except Throttled:
                if time.monotonic() - batch.received_s > self._visibility_s:
                    return []
                await asyncio.sleep(0.05)
        if result.error is not None:
            return []
        if not self._source.report_batch_item_failures:
            return batch.messages
        try:
            failed = failures_of(result.payload, {one["MessageId"] for one in batch.messages})
        except BadResponse:
            return []
        return [one for one in batch.messages if one["MessageId"] not in failed]

    def _delete(self, messages: list[dict[str, Any]]) -> None:
        for begin in range(0, len(messages), _RECEIVE_MOST):
            entries = [
                {"Id": str(number), "ReceiptHandle": one["ReceiptHandle"]}
                for number, one in enumerate(messages[begin : begin + _RECEIVE_MOST])
            ]
            self._sqs.delete_message_batch(QueueUrl=self._url, Entries=entries)


def failures_of(payload: bytes, batch: set[str]) -> set[str]:
    """The messages that a function reports as failed (lambda/latest/dg/services-sqs-errorhandling); none: all are done.

    Raises BadResponse: no JSON, or an identifier that is missing, empty or of no message of the batch.
    """
    try:
        answer = json.loads(payload or b"null")
        items = (answer or {}).get("batchItemFailures") or []
        found = {item["itemIdentifier"] for item in items}
    except (ValueError, AttributeError, TypeError, KeyError) as error:
        raise BadResponse(f"found {payload[:200]!r}, expected batchItemFailures: {error}") from None
    if not found <= batch:
        raise BadResponse(f"found identifiers {sorted(map(str, found - batch))} that are not in the batch")
    return found


def _attribute(value: dict[str, Any]) -> dict[str, Any]:
    """A message attribute as events have it."""
    found: dict[str, Any] = {"stringListValues": [], "binaryListValues": [], "dataType": value["DataType"]}
    if "StringValue" in value:
        found["stringValue"] = value["StringValue"]
    if "BinaryValue" in value:
        found["binaryValue"] = base64.b64encode(value["BinaryValue"]).decode()
    return found
