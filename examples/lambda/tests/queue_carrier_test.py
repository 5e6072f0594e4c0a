# SPDX-License-Identifier: Apache-2.0
"""What carriers of messages have in common, without a queue."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging

import pytest
from botocore.exceptions import ClientError  # type: ignore[import-untyped]

from local_aws.queue_carrier import carry_all


def test_what_can_not_be_carried_is_logged_and_the_others_are(caplog: pytest.LogCaptureFixture) -> None:
    refused = ClientError({"Error": {"Code": "QueueDoesNotExist"}}, "DeleteMessage")
    errors = {"refused": refused, "nonsense": ValueError("no JSON")}
    messages = ["refused", None, "nonsense", "good"]
    carried: list[str] = []

    async def carry_until_empty() -> None:
        is_empty = asyncio.Event()
        loop = asyncio.get_running_loop()

        def receive() -> str | None:
            if messages:
                return messages.pop(0)
            loop.call_soon_threadsafe(is_empty.set)
            return None

        async def carry(message: str) -> None:
            if message in errors:
                raise errors[message]
            carried.append(message)

        carrier = asyncio.ensure_future(carry_all(receive, carry, most=1))
        await is_empty.wait()
        carrier.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await carrier

    with caplog.at_level(logging.WARNING):
        asyncio.run(carry_until_empty())
        gc.collect()  # asyncio tells of errors that nobody asked for when their tasks go.
    assert carried == ["good"]
    said = "a message was not carried to its end: "
    assert [one.getMessage() for one in caplog.records] == [
        f"{said}ClientError: {refused}",
        f"{said}ValueError: no JSON",
    ]
