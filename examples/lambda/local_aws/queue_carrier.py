# SPDX-License-Identifier: Apache-2.0
"""From a queue to a function: what carriers of messages have in common."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from common.aws_client import AWS_ERRORS

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
_ERROR_PAUSE_S = 1


async def carry_all(
    receive: Callable[[], _T | None], carry: Callable[[_T], Coroutine[Any, Any, None]], most: int
) -> None:
    """Receives and carries, `most` at a time, until it is cancelled, which ends what is carried too.

    `receive` blocks, in a thread of its own; None: nothing has come. A queue that refuses, can't be reached or answers
    nonsense is asked again after a pause. What could not be carried to its end is logged, and comes again by itself.
    """

    async def carry_one(found: _T) -> None:
        try:
            await carry(found)
        except Exception as error:  # Whatever it is, the others have to be carried.
            _log.warning("a message was not carried to its end: %s: %s", type(error).__name__, error)

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
            task = asyncio.ensure_future(carry_one(found))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            task.add_done_callback(lambda _: room.release())
    finally:
        for task in list(tasks):
            task.cancel()
