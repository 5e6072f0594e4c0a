# SPDX-License-Identifier: Apache-2.0
"""From a URL to a label: each request has a number, which joins it to its answer; the answer comes when the label is there.

A request that waits for longer than it may, or that the end of the program would lose, is promised its result for later, and
the work on it goes on. What may change by itself (no worker yet, a queue that was restarted, S3 that can't be reached for a
while) is tried again.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import torch

import splitnet
from classify.fetcher import Fetcher, FetchError, Take, checked_url
from classify.outcomes import STORE_ERRORS, Outcome, OutcomeStore, Request, new_id
from common.option_checks import expect_more_than_0
from common.pauses import pauses_s
from common.pictures import PictureError
from common.resuming import Resuming
from elastic_pool.classifiers import CLASSIFIERS, Classifier, Label, classifier
from elastic_pool.lazy_session import LazySession

_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5.0
_STORING = 10  #: Requests to S3 at once: as many connections as boto3 keeps.

_Value = TypeVar("_Value")

Opener = Callable[[Classifier], splitnet.Session]


@dataclass(frozen=True)
class ServiceLimits:
    """Of the whole service. Raises ValueError naming the field that is not more than 0."""

    answer_s: float = 120.0  #: Then a request is promised its result for later,
    give_up_s: float = 900.0  #: and then that there is none is its result.
    requests: int = 1000  #: That wait; more are refused.
    pictures: int = 64  #: Of each model that are fetched, decoded and with the workers at once: what takes memory.
    pictures_of_one_host: int = 16  #: Of these, the ones that are not there yet: a slow host leaves room for others.
    held_bytes: int = 512 * 2**20  #: Of files that come, or wait to be decoded; who comes then is refused.
    decoding: int = 2  #: Pictures decoded at once.
    max_decoded_pixels: int = 24_000_000  #: A picture takes up to 8 bytes for each while it is decoded.

    def __post_init__(self) -> None:
        expect_more_than_0(self)


class OverloadedError(Exception):
    """So many requests wait that another one would only make all of them late."""


class ClassifyService:
    """Belongs to an event loop; `close` it there."""

    def __init__(
        self,
        store: OutcomeStore,
        fetcher: Fetcher,
        open_session: Opener,
        limits: ServiceLimits | None = None,
        models: Mapping[str, Classifier] = CLASSIFIERS,
    ) -> None:
        """`open_session` is called on a thread; `models`: by the names under which they can be asked."""
        self.limits = limits or ServiceLimits()
        self.models = models
        self._store = store
        self._fetcher = fetcher
        self._open_session = open_session
        self._sessions: dict[str, LazySession] = {}  # One for each model, which all requests for it use.
        self._waiting: dict[str, asyncio.Task[Outcome]] = {}  # By the request's number.
        self._promised: set[str] = set()
        self._resuming: list[asyncio.Task[None]] = []
        self._ending = asyncio.Event()
        self._places: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(self.limits.pictures))
        self._hosts: WeakValueDictionary[tuple[str, str], asyncio.Semaphore] = WeakValueDictionary()  # In use.
        self._held_bytes = 0
        self._decoding = ThreadPoolExecutor(self.limits.decoding, "decode")
        self._storing = ThreadPoolExecutor(_STORING, "store")

    @property
    def waiting(self) -> int:
        """Requests without a result."""
        return len(self._waiting)

    @property
    def held_bytes(self) -> int:
        """Of files that come, or wait to be decoded."""
        return self._held_bytes

    async def resume(self) -> None:
        """Goes on with what was promised before this program was started, beside what is asked now; but not for models that it
        doesn't know: another one on the same bucket may know them. Raises STORE_ERRORS: nothing can be known of it."""
        resuming = Resuming(
            at_once=5,
            longest_pause_s=_LONGEST_PAUSE_S,
            tried="of the promise of {}",
            read="promised/{} or its result",
            say=_say,
        )
        self._resuming = resuming.start(await self._stored(self._store.promised), self._go_on)

    async def _go_on(self, identifier: str) -> None:
        request = await self._stored(lambda: self._store.promised_request(identifier))
        if request is None:
            return
        if await self.result(identifier):  # It was ended between the two.
            await self._stored(lambda: self._store.keep_promise(identifier))
        elif request.model in self.models:
            self._promised.add(request.id)
            self._start(request)

    async def classify(self, url: str, model: str) -> Outcome:
        """Waits for the label, for answer_s at most and not while the program ends; then the outcome is a time-out, and the
        result comes later.

        Cancelling it ends the work. Raises UnknownClassifierError, OverloadedError; everything else is an outcome.
        """
        request = Request(new_id(), url, classifier(model, self.models).name)
        try:
            checked_url(url)
        except FetchError as error:
            return Outcome(request, status=error.status, error=str(error))
        if self.waiting >= self.limits.requests:
            raise OverloadedError(f"{self.waiting} requests wait, as many as may: try again")
        task = self._start(request)
        ending = asyncio.ensure_future(self._ending.wait())
        try:
            await asyncio.wait([task, ending], timeout=self.limits.answer_s, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            task.cancel()
            raise
        finally:
            ending.cancel()
        return task.result() if task.done() else await self._promise(request, task)

    def end_waits(self) -> None:
        """Whoever waits is answered now, and promised the result for after the next start: before `close`."""
        self._ending.set()

    async def result(self, identifier: str) -> Outcome | None:
        """What was stored; None: nothing, and maybe not yet (`is_waiting`). Raises STORE_ERRORS."""
        return await self._stored(lambda: self._store.get(identifier))

    async def is_waiting(self, identifier: str) -> bool:
        """Whether it is being worked on, here or by another one of these programs. False may mean that the result has come
        since it was looked for.

        Raises STORE_ERRORS, UnknownClassifierError: it was promised for a model that this program doesn't know.
        """
        if identifier in self._waiting:
            return True
        request = await self._stored(lambda: self._store.promised_request(identifier))
        if request is None:
            return False
        classifier(request.model, self.models)  # Raises.
        return True

    async def close(self) -> None:
        """Ends what is under way. What was promised is gone on with after the next start."""
        tasks: list[asyncio.Task[Any]] = [*self._resuming, *self._waiting.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for session in self._sessions.values():
            await session.close()
        self._decoding.shutdown()
        self._storing.shutdown()

    def _start(self, request: Request) -> asyncio.Task[Outcome]:
        task = asyncio.create_task(self._finish(request))
        self._waiting[request.id] = task
        task.add_done_callback(lambda _: self._waiting.pop(request.id))
        return task

    async def _promise(self, request: Request, task: asyncio.Task[Outcome]) -> Outcome:
        words = f"there was no label within {self.limits.answer_s:g} s"
        if self._ending.is_set():
            words = "the service is ended, and there was no label yet"
        self._promised.add(request.id)
        try:
            await self._stored(lambda: self._store.promise(request))
            words += f"; it will be at /results/{request.id}"
            if task.done():  # In the meantime.
                await self._stored(lambda: self._store.keep_promise(request.id))
        except STORE_ERRORS as error:
            self._promised.discard(request.id)
            _say(f"of the promise of {request.id}: {error}")
        return task.result() if task.done() else Outcome(request, status=HTTPStatus.GATEWAY_TIMEOUT, error=words)

    async def _finish(self, request: Request) -> Outcome:
        """Never raises but when it is cancelled."""
        outcome = await self._outcome(request)
        pauses = pauses_s(_FIRST_PAUSE_S, _LONGEST_PAUSE_S)
        while outcome.status == HTTPStatus.SERVICE_UNAVAILABLE and request.id in self._promised:
            await asyncio.sleep(next(pauses))  # Nobody is there who would ask again.
            outcome = await self._outcome(request)
        if not outcome.error or request.id in self._promised:
            while not await self._is_kept(outcome) and request.id in self._promised:
                await asyncio.sleep(next(pauses))
        self._promised.discard(request.id)
        return outcome

    async def _is_kept(self, outcome: Outcome) -> bool:
        identifier = outcome.request.id
        try:
            await self._stored(lambda: self._store.put(outcome))
            if identifier in self._promised:
                await self._stored(lambda: self._store.keep_promise(identifier))
        except STORE_ERRORS as error:
            _say(f"the result of {identifier} could not be stored: {error}")
            return False
        return True

    async def _outcome(self, request: Request) -> Outcome:
        try:
            async with asyncio.timeout(self.limits.give_up_s):
                label = await self._label(request.picture, self.models[request.model])
            return Outcome(request, label.name, label.probability)
        except FetchError as error:
            return Outcome(request, status=error.status, error=str(error))
        except PictureError as error:
            return Outcome(request, status=HTTPStatus.UNSUPPORTED_MEDIA_TYPE, error=str(error))
        except TimeoutError:
            words = f"there was no label within {self.limits.give_up_s:g} s"
            return Outcome(request, status=HTTPStatus.GATEWAY_TIMEOUT, error=words)
        except Exception as error:
            _say(f"request {request.id}: {error!r}")
            words = f"the picture could not be classified: {error}" if isinstance(error, splitnet.Error) else ""
            status = HTTPStatus.INTERNAL_SERVER_ERROR
            return Outcome(request, status=status, error=words or "the service failed; its log says why")

    async def _label(self, url: str, model: Classifier) -> Label:
        async with AsyncExitStack() as place:
            pixels = await self._pixels(url, model, place)
            session = LazySession(partial(self._open_session, model), _say)
            answer = await self._sessions.setdefault(model.name, session).submit(pixels)
            return model.label(answer.output)

    async def _pixels(self, url: str, model: Classifier, place: AsyncExitStack) -> torch.Tensor:
        """Leaves `place` with one of the model's places, which none takes before it is its host's turn."""
        host = (model.name, str(checked_url(url).host))
        with self._holding() as take:
            async with self._hosts.setdefault(host, asyncio.Semaphore(self.limits.pictures_of_one_host)):
                await place.enter_async_context(self._places[model.name])
                file = await self._fetcher.fetch(url, take)
            return await self._in(self._decoding, lambda: model.pixels(file, self.limits.max_decoded_pixels))

    @contextmanager
    def _holding(self) -> Iterator[Take]:
        """A file, whose bytes count until the end of the block."""
        mine = 0

        def take(count: int) -> None:
            nonlocal mine
            if self._held_bytes + count > self.limits.held_bytes:
                words = f"files of {self._held_bytes} bytes are held already, as many as may be: try again"
                raise FetchError(HTTPStatus.SERVICE_UNAVAILABLE, words)
            mine += count
            self._held_bytes += count

        try:
            yield take
        finally:
            self._held_bytes -= mine

    async def _stored(self, work: Callable[[], _Value]) -> _Value:
        return await self._in(self._storing, work)

    async def _in(self, threads: ThreadPoolExecutor, work: Callable[[], _Value]) -> _Value:
        return await asyncio.get_running_loop().run_in_executor(threads, work)


def _say(words: str) -> None:
    print(f"classify: {time.strftime('%H:%M:%S')} {words}", file=sys.stderr, flush=True)
