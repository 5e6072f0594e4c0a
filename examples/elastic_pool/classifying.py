# SPDX-License-Identifier: Apache-2.0
"""Has workers classify the pictures of jobs, until each has its one result.

What may change by itself is tried again: no worker there, a queue that was restarted, an object store that is away. Anything
else is a result: `error` says what was wrong.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import torch

import splitnet
from common.option_checks import expect_more_than_0
from common.pauses import pauses_s
from common.pictures import PictureError
from elastic_pool.classifiers import Classifier, Label
from elastic_pool.job_store import CONNECTIONS, STORE_ERRORS, JobList, JobStore, NoSuchInput, Result
from elastic_pool.lazy_session import LazySession

_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 10.0

NO_LABEL = Label("", 0.0)

_Value = TypeVar("_Value")


@dataclass(frozen=True)
class Settings:
    """How pictures are sent to workers."""

    at_once: int = 200  #: Pictures in the queue or with a worker, a megabyte each; the others wait in the bucket.
    answer_s: float = 120.0  #: For a try, the time in the queue included.
    give_up_s: float = 1800.0  #: From the first try of a picture; then "no answer" is its result.
    max_decoded_pixels: int = 24_000_000  #: A picture takes up to 8 bytes for each while it is decoded.
    decoding: int = 2  #: Pictures decoded at once.

    def __post_init__(self) -> None:
        """Raises ValueError naming the field."""
        expect_more_than_0(self)


class Job:
    """What is known of a job here. Belongs to an event loop."""

    def __init__(self, accepted: JobList) -> None:
        self.accepted = accepted
        self.results: list[Result] = []  #: As they came.
        self.refused = 0  #: Results that came when the picture had one already: that one stays.
        self._changed = asyncio.Event()

    @property
    def id(self) -> str:
        return self.accepted.id

    @property
    def is_done(self) -> bool:
        return len(self.results) == len(self.accepted.pictures)

    def add(self, result: Result) -> None:
        self.results.append(result)
        self._changed.set()
        self._changed = asyncio.Event()

    async def more_than(self, count: int, patience_s: float) -> None:
        """Waits until there are more results, the job is done, or the time is over."""
        try:
            async with asyncio.timeout(patience_s):
                while len(self.results) <= count and not self.is_done:
                    await self._changed.wait()
        except TimeoutError:
            pass


class Classifying:
    """Runs jobs. Belongs to an event loop; `close` it there."""

    def __init__(self, store: JobStore, classifier: Classifier, worker: str, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self._store = store
        self._classifier = classifier
        self._worker = worker
        self._places = asyncio.Semaphore(self.settings.at_once)
        self._storing = ThreadPoolExecutor(CONNECTIONS, "store")
        self._decoding = ThreadPoolExecutor(self.settings.decoding, "decode")
        self._decoding_places = asyncio.Semaphore(self.settings.decoding)
        self._session = LazySession(self._open, _say)
        self._running: set[asyncio.Task[None]] = set()

    def start(self, job: Job) -> None:
        """Has the pictures classified that have no result yet."""
        task = asyncio.create_task(self._run(job))
        self._running.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()):
            _say(f"a job has stopped, the next start goes on with it: {error!r}")

    async def close(self) -> None:
        """Ends what is under way; another web tier, or this one when it is started again, goes on with it."""
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self._session.close()
        self._storing.shutdown()
        self._decoding.shutdown()

    async def _run(self, job: Job) -> None:
        there = {one.index for one in job.results}
        async with asyncio.TaskGroup() as group:
            for index in range(len(job.accepted.pictures)):
                if index not in there:
                    await self._places.acquire()  # Jobs take turns: whoever has waited longest is next.
                    group.create_task(self._finish_picture(job, index)).add_done_callback(
                        lambda _: self._places.release()
                    )
        in_order = sorted(job.results, key=lambda one: one.index)
        await self._stored(lambda: self._store.finish(job.id, in_order))

    async def _finish_picture(self, job: Job, index: int) -> None:
        picture = job.accepted.pictures[index]
        label, error = NO_LABEL, picture.refused
        if not error:
            try:
                label = await self._label(await self._pixels(job.id, index))
            except (PictureError, NoSuchInput, splitnet.Error) as found:
                error = str(found)
            except Exception as found:  # A mistake of ours: this picture's alone, the others go on.
                _say(f"job {job.id}, picture {index}: {found!r}")
                error = "the web tier failed at it; its log says why"
        answered_s = round(time.time() - job.accepted.accepted_s, 3)
        mine = Result(index, picture.name, label.name, round(label.probability, 4), error, answered_s)
        kept = await self._stored(lambda: self._store.put_result(job.id, mine))
        job.refused += kept is not mine
        job.add(kept)

    async def _pixels(self, job: str, index: int) -> torch.Tensor:
        """Few at a time: files may be large, and what is in them larger."""
        async with self._decoding_places:
            data = await self._stored(lambda: self._store.input(job, index))
            return await self._in(
                self._decoding, lambda: self._classifier.pixels(data, self.settings.max_decoded_pixels)
            )

    async def _label(self, pixels: torch.Tensor) -> Label:
        """Raises splitnet.Error: one that will not go away."""
        answer = await self._session.submit(pixels, self.settings.give_up_s)
        return self._classifier.label(answer.output)

    def wake(self) -> None:
        """The first worker then starts while pictures are still coming."""
        self._session.wake()

    def _open(self) -> splitnet.Session:
        """Raises Unavailable, whatever is wrong: the queue may not be there yet, or a worker may have another model."""
        try:
            return self._classifier.open_session(
                self._worker, deadline_s=self.settings.answer_s, max_in_flight=self.settings.at_once
            )
        except splitnet.Error as error:
            raise splitnet.Unavailable(str(error)) from None

    async def _stored(self, work: Callable[[], _Value]) -> _Value:
        """What the store does; again and again, while S3 is away."""
        pauses = pauses_s(_FIRST_PAUSE_S, _LONGEST_PAUSE_S)
        while True:
            try:
                return await self._in(self._storing, work)
            except STORE_ERRORS as error:
                _say(f"the object store: {error}; it is asked again")
            await asyncio.sleep(next(pauses))

    async def _in(self, threads: ThreadPoolExecutor, work: Callable[[], _Value]) -> _Value:
        return await asyncio.get_running_loop().run_in_executor(threads, work)


def _say(words: str) -> None:
    print(f"web: {words}", file=sys.stderr, flush=True)
