# SPDX-License-Identifier: Apache-2.0
"""A session with workers that need not be there yet: for work that waits until some are."""

from __future__ import annotations

import asyncio
import concurrent.futures
import math
import threading
import time
from collections.abc import Callable

import torch

import splitnet
from common.pauses import pauses_s

_TRY_AGAIN = (splitnet.Unavailable, splitnet.Overloaded, splitnet.DeadlineExceeded)
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5.0


class LazySession:
    """Opened when it is first asked, and again after that has failed. Belongs to an event loop; `close` it there."""

    def __init__(self, open_session: Callable[[], splitnet.Session], say: Callable[[str], None]) -> None:
        """`say` is told why something is tried again."""
        self._open_session = open_session
        self._say = say
        self._opening: asyncio.Future[splitnet.Session] | None = None

    def wake(self) -> asyncio.Future[splitnet.Session]:
        """Opens it if it is not open: the first worker then starts before there is something to ask."""
        if self._opening is None:
            self._opening = asyncio.wrap_future(_in_daemon(self._open_session))
            self._opening.add_done_callback(lambda opened: opened.exception())  # Is seen by who asks.
        return self._opening

    async def submit(self, pixels: torch.Tensor, give_up_s: float = math.inf) -> splitnet.Answer:
        """Tries again, for so long, while there is no worker, no place or no answer in time. Raises splitnet.Error: one
        that will not go away, also of opening it, or the last one."""
        until_s = time.monotonic() + give_up_s
        pauses = pauses_s(_FIRST_PAUSE_S, _LONGEST_PAUSE_S)
        while True:
            try:
                return await (await self._session()).submit(pixels)
            except _TRY_AGAIN as error:
                if time.monotonic() > until_s:
                    raise
                self._say(f"a picture is tried again: {error}")
            await asyncio.sleep(next(pauses))

    async def _session(self) -> splitnet.Session:
        opening = self.wake()
        try:
            return await asyncio.shield(opening)
        except Exception:
            if self._opening is opening:
                self._opening = None
            raise

    async def close(self) -> None:
        """Answers to come end with Cancelled. One that is being opened is left alone."""
        if self._opening and self._opening.done() and not self._opening.exception():
            await asyncio.to_thread(self._opening.result().close)


def _in_daemon(work: Callable[[], splitnet.Session]) -> concurrent.futures.Future[splitnet.Session]:
    """On a thread that the end of the program doesn't wait for: opening a session can't be broken off."""
    future: concurrent.futures.Future[splitnet.Session] = concurrent.futures.Future()

    def run() -> None:
        try:
            session = work()
        except Exception as error:
            future.set_exception(error)
        else:
            future.set_result(session)

    future.set_running_or_notify_cancel()
    threading.Thread(target=run, daemon=True, name="open session").start()
    return future
