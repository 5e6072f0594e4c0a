# SPDX-License-Identifier: Apache-2.0
"""From a queue to a function: what carriers of messages have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from common.aws_client import AWS_ERRORS

_T = TypeVar("_T")
_ERROR_PAUSE_S = 1


async def carry_all(
    receive: Callable[[], _T | None], carry: Callable[[_T], Coroutine[Any, Any, None]], most: int
) -> None:
    """Receives and carries, `most` at a time, until it is cancelled, which ends what is carried too.

    `receive` blocks, in a thread of its own; None: nothing has come. A queue that refuses, can't be reached or answers
    nonsense is asked again after a pause.
    """
    room = asyncio.Semaphore(most)
    tasks: set[asyncio.Task[None]] = set()
    try:
        while True:
            await room.acquire()
            found = None
            try:
                found = await asyncio.to_thread(receive)
            except AWS_ERRORS:
                await asyncio.sleep(_ERROR_PAUSE_S)
            if found is None:
                room.release()
                continue
            task = asyncio.ensure_future(carry(found))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            task.add_done_callback(lambda _: room.release())
    finally:
        for task in list(tasks):
            task.cancel()
