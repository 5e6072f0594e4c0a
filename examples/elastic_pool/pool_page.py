# SPDX-License-Identifier: Apache-2.0
"""The live page of a pool: queue, workers, latency and cost over time, and who has died and why.

    add_pool_page(app, pool, prefix="/pool")     # to an aiohttp server, before it starts; the page is at /pool/

The page needs nothing from elsewhere. It hears of news by server-sent events: what came since the last it has, as JSON.
Whoever reaches the server may look; nobody can change anything.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import signal
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path
from typing import Protocol

from aiohttp import web

from common.serving import page_file
from elastic_pool.history import History
from elastic_pool.policies import Policy

FILES = Path(__file__).with_name("pool_page_files")
_KINDS = {"index.html": "text/html", "pool.js": "text/javascript", "pool.css": "text/css"}
_MAX_WATCHERS = 64
_NEWS_S = 0.25
_NOTHING_SEEN_S = -1.0
_HEADERS = {"Cache-Control": "no-cache"}


class ShownPool(Protocol):
    """What is shown; a Controller is one."""

    @property
    def history(self) -> History: ...

    @property
    def policy(self) -> Policy: ...

    @property
    def failure(self) -> str: ...

    def deaths(self) -> list[str]: ...


class PoolPage:
    """Handlers of one pool's page."""

    def __init__(self, pool: ShownPool) -> None:
        self._pool = pool
        self._run = secrets.token_hex(8)
        self._watchers = 0
        self._closing = asyncio.Event()

    async def file(self, request: web.Request) -> web.Response:
        return page_file(request, FILES, _KINDS, _HEADERS)

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Each event: {"run", "policy", "samples": [Sample, …], "deaths": [words, …]}; its id is RUN:TIME, the time of the last
        sample. Another run than this one has seen nothing of it."""
        run, _, time_s = request.headers.get("Last-Event-ID", "").partition(":")
        try:
            seen_s = float(time_s) if run == self._run else _NOTHING_SEEN_S
        except ValueError:
            raise web.HTTPBadRequest(text="Last-Event-ID: expected RUN:SECONDS") from None
        if self._watchers >= _MAX_WATCHERS:
            raise web.HTTPServiceUnavailable(text=f"{_MAX_WATCHERS} are watching, which is all there may be")
        self._watchers += 1
        try:
            response = web.StreamResponse(headers={**_HEADERS, "Content-Type": "text/event-stream"})
            await response.prepare(request)
            await self._tell(response, seen_s)
            return response
        finally:
            self._watchers -= 1

    async def _tell(self, response: web.StreamResponse, seen_s: float) -> None:
        while not self._closing.is_set():
            if samples := self._pool.history.samples(seen_s):
                seen_s = samples[-1].time_s
                news = {
                    "run": self._run,
                    "policy": self._pool.policy.name,
                    "samples": [asdict(sample) for sample in samples],
                    "deaths": self._pool.deaths(),
                }
                try:
                    await response.write(f"id: {self._run}:{seen_s}\ndata: {json.dumps(news)}\n\n".encode())
                except ConnectionError:
                    return
            try:
                await asyncio.wait_for(self._closing.wait(), _NEWS_S)
            except TimeoutError:
                continue

    async def ends_with_pool(self, _: web.Application) -> AsyncIterator[None]:
        """A pool that has failed ends its server, as SIGTERM does: there are no workers any more."""

        async def end() -> None:
            while not self._pool.failure:
                await asyncio.sleep(_NEWS_S)
            signal.raise_signal(signal.SIGTERM)

        watching = asyncio.create_task(end())
        yield
        watching.cancel()

    async def close(self, _: web.Application) -> None:
        """Lets the server end although somebody watches."""
        self._closing.set()


def add_pool_page(app: web.Application, pool: ShownPool, prefix: str = "/pool") -> None:
    """At `prefix`/. The server is one of `serve`: it ends when the pool fails, which then says why (Controller.__exit__)."""
    page = PoolPage(pool)

    async def to_page(request: web.Request) -> web.Response:
        raise web.HTTPFound(f"{prefix}/")

    if prefix:
        app.router.add_get(prefix, to_page)
    app.router.add_get(f"{prefix}/", page.file)
    app.router.add_get(f"{prefix}/events", page.events)
    app.router.add_get(f"{prefix}/{{name}}", page.file)
    app.cleanup_ctx.append(page.ends_with_pool)
    app.on_shutdown.append(page.close)
