# SPDX-License-Identifier: Apache-2.0
"""The live page: the latest frame with its faces, and the list of names, records and latencies.

It needs nothing from elsewhere. Whoever reaches the server may look; nobody can change anything.
"""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

from aiohttp import web

from common.serving import listen, page_file, protect
from video_faces.live import Live

FILES = Path(__file__).with_name("page_files")
_KINDS = {"index.html": "text/html", "page.js": "text/javascript", "page.css": "text/css"}
_START_TIMEOUT_S = 30.0
_HEADERS = {"Cache-Control": "no-store"}


class LivePage:
    """Serves on loopback, from a thread of its own. Close it, or use it in a `with`."""

    def __init__(self, live: Live, port: int = 0) -> None:
        """Port 0 chooses a free one. Raises OSError."""
        self.url = ""
        self._live = live
        self._port = port
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._ready = threading.Event()
        self._error: OSError | None = None
        self._thread = threading.Thread(target=self._run, name="page", daemon=True)
        self._thread.start()
        self._ready.wait(_START_TIMEOUT_S)
        if self._error is not None:
            self._thread.join()
            raise self._error

    def close(self) -> None:
        """Idempotent."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()

    def __enter__(self) -> LivePage:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        except OSError as error:
            self._error = error
        finally:
            self._loop.close()
            self._ready.set()

    async def _serve(self) -> None:
        app = web.Application()
        app.add_routes(
            [
                web.get("/", self._file),
                web.get("/state", self._state),
                web.get(r"/frame/{number:\d{1,12}}.jpg", self._picture),
                web.get("/{name}", self._file),
            ]
        )
        protect(app)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1, handle_signals=False)
        await runner.setup()
        try:
            self.url = f"http://127.0.0.1:{await listen(runner, '127.0.0.1', self._port)}/"
            self._ready.set()
            await self._stop.wait()
        finally:
            await runner.cleanup()

    async def _file(self, request: web.Request) -> web.Response:
        return page_file(request, FILES, _KINDS, _HEADERS)

    async def _state(self, request: web.Request) -> web.Response:
        return web.json_response(self._live.state(), headers=_HEADERS)

    async def _picture(self, request: web.Request) -> web.Response:
        picture = self._live.picture(int(request.match_info["number"]))
        if picture is None:
            raise web.HTTPNotFound(text=f"{request.path}: that frame is not kept")
        return web.Response(body=picture, content_type="image/jpeg", headers=_HEADERS)
