# SPDX-License-Identifier: Apache-2.0
"""What the web tier's requests share: jobs by their numbers, from the upload to the results; web.py has the requests."""

from __future__ import annotations

import asyncio
import io
import secrets
import sys
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from aiohttp import web

from common.pictures import open_picture
from common.resuming import Resuming
from elastic_pool.classifying import Classifying, Job
from elastic_pool.job_store import CONNECTIONS, JobStore, NoSuchJob
from elastic_pool.upload import Limits, Uploads

_KEPT_JOBS = 64  #: In memory, beside those that are under way.
_SMALL = 96  #: Side of small pictures.

_Value = TypeVar("_Value")


class WebTier:
    """Belongs to an event loop."""

    def __init__(self, store: JobStore, classifying: Classifying, limits: Limits, pool: str) -> None:
        self.run = secrets.token_hex(4)  #: Another one after each start: results may then come in another order.
        self.pool = pool  #: Address of the page about the workers; empty: there is none.
        self._classifying = classifying
        self._store = store
        self._threads = ThreadPoolExecutor(CONNECTIONS, "web")
        self._uploads = Uploads(store, self._threads, limits)
        self._shrinking = asyncio.Semaphore(2)
        self._jobs: OrderedDict[str, asyncio.Future[Job]] = OrderedDict()
        self._resuming: list[asyncio.Task[None]] = []

    async def resume(self) -> None:
        """Goes on with the jobs that are not done, beside what is asked now. Raises STORE_ERRORS: nobody knows which."""
        resuming = Resuming(at_once=2, longest_pause_s=10.0, tried="job {}", read="job {}", say=_say)
        self._resuming = resuming.start(await self._stored(self._store.open_jobs), self._go_on)

    async def _go_on(self, identifier: str) -> None:
        with suppress(NoSuchJob):  # Somebody has removed its list.
            await self.job(identifier)

    async def accept(self, request: web.Request) -> str:
        """The number of a new job. Raises Refused."""
        self._classifying.wake()
        job = Job(await self._uploads.take(request))
        done = asyncio.get_running_loop().create_future()
        done.set_result(job)
        self._keep(job.id, done)
        self._classifying.start(job)
        return job.id

    async def job(self, identifier: str) -> Job:
        """From memory, or as it is in the bucket; then one that is not done is gone on with. Raises NoSuchJob."""
        if identifier not in self._jobs:
            self._keep(identifier, asyncio.ensure_future(self._load(identifier)))
        loading = self._jobs[identifier]
        try:
            return await asyncio.shield(loading)
        finally:
            if loading.done() and loading.exception() and self._jobs.get(identifier) is loading:
                del self._jobs[identifier]

    async def _load(self, identifier: str) -> Job:
        job = Job(await self._stored(self._store.accepted, identifier))
        for result in await self._stored(self._store.results, identifier):
            job.add(result)
        if not job.is_done or identifier in await self._stored(self._store.open_jobs):
            self._classifying.start(job)
        return job

    def _keep(self, identifier: str, job: asyncio.Future[Job]) -> None:
        self._jobs[identifier] = job
        for old, other in list(self._jobs.items())[: max(0, len(self._jobs) - _KEPT_JOBS)]:
            if other.done() and not other.exception() and other.result().is_done:
                del self._jobs[old]

    async def small_picture(self, job: str, index: int) -> bytes:
        """A JPEG. Raises PictureError, NoSuchInput."""
        async with self._shrinking:
            most = self._classifying.settings.max_decoded_pixels
            return await self._stored(lambda: _small(self._store.input(job, index), most))

    async def _stored(self, work: Callable[..., _Value], *arguments: object) -> _Value:
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(work, *arguments))

    async def close(self, _: web.Application) -> None:
        tasks: list[asyncio.Future[Any]] = [*self._resuming, *self._jobs.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._classifying.close()
        self._threads.shutdown()


def _small(data: bytes, max_decoded_pixels: int) -> bytes:
    image = open_picture(data, 2 * _SMALL, max_decoded_pixels).image
    image.thumbnail((_SMALL, _SMALL))
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=80)
    return stream.getvalue()


def _say(words: str) -> None:
    print(f"web: {words}", file=sys.stderr, flush=True)
