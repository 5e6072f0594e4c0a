# SPDX-License-Identifier: Apache-2.0
"""A session for each model, opened when the model is first asked for."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable

import splitnet
from elastic_pool.classifiers import Classifier

Opener = Callable[[Classifier], splitnet.Session]


class Sessions:
    """Belongs to an event loop; `close` it there."""

    def __init__(self, open_session: Opener) -> None:
        self._open_session = open_session
        self._opened: dict[str, asyncio.Future[splitnet.Session]] = {}

    async def of(self, classifier: Classifier) -> splitnet.Session:
        """The one that all requests for this model use. The first of them waits for a worker, of which there may be none
        before there is work. Raises splitnet.Error; the next one who asks tries again."""
        name = classifier.name
        if name not in self._opened:
            self._opened[name] = asyncio.wrap_future(_in_daemon(lambda: self._open_session(classifier)))
        opened = self._opened[name]
        try:
            return await asyncio.shield(opened)
        except Exception:
            if self._opened.get(name) is opened:
                del self._opened[name]
            raise

    async def close(self) -> None:
        """Answers to come end with Cancelled. Those that are being opened are left alone."""
        for opened in self._opened.values():
            if opened.done() and not opened.exception():
                await asyncio.to_thread(opened.result().close)


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
