# SPDX-License-Identifier: Apache-2.0
"""Uploads start functions: S3 puts its event into a queue, a carrier invokes the function with it.

On AWS the bucket invokes the function by itself; here moto writes the event and the queue counts the tries: after
`max_tries` it moves the event to the dead-letter queue.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
import urllib.parse
from collections.abc import Mapping
from typing import Any

from common.aws_client import aws_client

from .configuration import ACCOUNT, S3Trigger
from .function import FunctionPool, Throttled
from .queue_carrier import carry_all

_POLL_S = 2
_MARGIN_S = 30


class S3Carrier:
    """Carries the events of one trigger, as many at a time as the function takes."""

    def __init__(self, trigger: S3Trigger, pool: FunctionPool, environment: Mapping[str, str]) -> None:
        self._trigger = trigger
        self._pool = pool
        self._s3 = aws_client("s3", environment)
        self._sqs = aws_client("sqs", environment)
        self._url = ""

    def create(self) -> None:
        """Queues and the bucket's notification. Blocks."""
        trigger = self._trigger
        dead = self._sqs.create_queue(QueueName=trigger.dead_letter_queue)["QueueUrl"]
        redrive = {"deadLetterTargetArn": self._arn(dead), "maxReceiveCount": str(trigger.max_tries)}
        attributes = {
            "VisibilityTimeout": str(self._pool.function.timeout_s + _MARGIN_S),
            "RedrivePolicy": json.dumps(redrive),
        }
        self._url = self._sqs.create_queue(QueueName=trigger.queue, Attributes=attributes)["QueueUrl"]
        ours: dict[str, Any] = {"QueueArn": self._arn(self._url), "Events": ["s3:ObjectCreated:*"]}
        wanted = {"prefix": trigger.prefix, "suffix": trigger.suffix}
        rules = [{"Name": name, "Value": value} for name, value in wanted.items() if value]
        if rules:
            ours["Filter"] = {"Key": {"FilterRules": rules}}
        known = self._s3.get_bucket_notification_configuration(Bucket=trigger.bucket).get("QueueConfigurations", [])
        self._s3.put_bucket_notification_configuration(
            Bucket=trigger.bucket,
            NotificationConfiguration={"QueueConfigurations": [*known, ours]},
        )

    def _arn(self, url: str) -> str:
        found = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        return str(found["Attributes"]["QueueArn"])

    async def run(self) -> None:
        """Until it is cancelled; a queue that can't be asked is asked again."""
        await carry_all(self._receive, self._carry, self._pool.function.concurrency)

    def _receive(self) -> dict[str, Any] | None:
        """Long polling."""
        answer = self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=1, WaitTimeSeconds=_POLL_S)
        found: list[dict[str, Any]] = answer.get("Messages", [])
        return found[0] if found else None

    async def _carry(self, message: dict[str, Any]) -> None:
        """Deleted after success only: an event whose function failed comes back, and so does one whose carrier died."""
        event = json.loads(message["Body"])
        if "Records" in event and not await self._succeeds(json.dumps(as_documented(event)).encode()):
            await asyncio.to_thread(self._try_again, message["ReceiptHandle"])
            return
        await asyncio.to_thread(self._sqs.delete_message, QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"])

    async def _succeeds(self, event: bytes) -> bool:
        """Throttling is waited out: it is not a try."""
        while True:
            try:
                return (await self._pool.invoke(event, {})).error is None
            except Throttled:
                await asyncio.sleep(0.05)

    def _try_again(self, receipt: str) -> None:
        self._sqs.change_message_visibility(
            QueueUrl=self._url, ReceiptHandle=receipt, VisibilityTimeout=self._trigger.retry_delay_s
        )


def as_documented(event: dict[str, Any]) -> dict[str, Any]:
    """moto's event with what it leaves out of S3's (userguide/notification-content-structure): who, from where, in which
    order; and with keys whose slashes are not escaped. The event that S3 sends as a test has no records."""
    for record in event["Records"]:
        record.setdefault("userIdentity", {"principalId": f"AWS:{ACCOUNT}"})
        record.setdefault("requestParameters", {"sourceIPAddress": "127.0.0.1"})
        record.setdefault("responseElements", {"x-amz-request-id": secrets.token_hex(8).upper(), "x-amz-id-2": "local"})
        stored = record["s3"]["object"]
        stored["key"] = urllib.parse.quote_plus(urllib.parse.unquote_plus(stored["key"]), safe="/")
        stored.setdefault("sequencer", f"{time.time_ns():018X}")
        record["s3"]["bucket"].setdefault("ownerIdentity", {"principalId": ACCOUNT})
    return event
