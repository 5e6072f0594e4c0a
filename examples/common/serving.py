# SPDX-License-Identifier: Apache-2.0
"""Servers of the examples: where they listen, how they end, and what they do for no page of another site."""

from __future__ import annotations

import argparse
import asyncio
import errno
import json
import re
import signal
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from aiohttp import web

from common.error_page import errors_as_pages

_BACKLOG = 1024  #: Connections that wait to be taken: many clients come at once.
_LAST_PORT = 65535
_THIS_MACHINE = ("127.0.0.1", "::1", "localhost")
_HOST_OF_THIS_MACHINE = re.compile(r"(127\.0\.0\.1|\[::1\]|localhost)(:\d{1,5})?", re.IGNORECASE)
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",  # Addresses of results are secrets.
}


class Address(NamedTuple):
    """Where a server listens."""

    host: str
    port: int  #: 0 chooses a free one.
    allow_remote: bool = False  #: It may be reached from other machines, by whatever name.


def port_number(text: str) -> int:
    """For argparse: 0 to 65535."""
    if not text.isdecimal() or int(text) > _LAST_PORT:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a whole number from 0 to {_LAST_PORT}")
    return int(text)


def add_address(parser: argparse.ArgumentParser, port: int) -> Callable[[argparse.Namespace], Address]:
    """Adds --host, --port and --allow-remote. What it returns gives the address of what was found, or ends the program:
    where other machines reach it, that has to be said."""
    parser.add_argument("--host", default=_THIS_MACHINE[0], help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=port_number, default=port, help="0 chooses a free one (%(default)s)")
    parser.add_argument(
        "--allow-remote", action="store_true", help="listen where other machines reach it: anyone may ask"
    )

    def address(options: argparse.Namespace) -> Address:
        if options.host not in _THIS_MACHINE and not options.allow_remote:
            parser.error(f"--host {options.host}: other machines may reach it; say --allow-remote if that is meant")
        return Address(options.host, options.port, options.allow_remote)

    return address


def protect(app: web.Application, allow_remote: bool = False) -> None:
    """Of an app that is not started yet; `serve` does it. Pages of other sites, in the browser of whoever uses this one, get
    nothing; every answer has the headers that keep browsers from doing more than they should, unless a handler gave its own.
    An error that a browser opens is a page.

    Without `allow_remote` the header Host has to name this machine. Otherwise a site whose name is made to lead here
    (DNS rebinding) would be the same site to browsers.
    """

    @web.middleware
    async def middleware(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        host = request.headers.get("Host", "")
        if not allow_remote and not _HOST_OF_THIS_MACHINE.fullmatch(host):
            expected = "expected 127.0.0.1, [::1] or localhost, which is all there is without --allow-remote"
            raise _refusal(web.HTTPMisdirectedRequest, f"Host: found {host[:100]!r}, {expected}")
        if is_of_another_site(request) and not _leads_here(request):
            raise _refusal(web.HTTPForbidden, "another site's page has sent this")
        return await handler(request)

    async def add_headers(_: web.Request, answer: web.StreamResponse) -> None:
        for name, value in _HEADERS.items():
            answer.headers.setdefault(name, value)

    app.middlewares.insert(0, middleware)
    app.middlewares.insert(0, errors_as_pages)
    app.on_response_prepare.append(add_headers)


def is_of_another_site(request: web.Request) -> bool:
    """Whether a browser says that a page of another server has caused it: there a person has not asked for anything.

    Over HTTP browsers send Sec-Fetch-Site to this machine alone; to others they say the origin of what may change something
    (POST), not of what only shows (GET).
    """
    if site := request.headers.get("Sec-Fetch-Site"):
        return site not in ("same-origin", "none")
    origin = request.headers.get("Origin")
    return origin is not None and origin.partition("://")[2] != request.headers.get("Host", "")


def page_file(request: web.Request, folder: Path, kinds: Mapping[str, str], headers: Mapping[str, str]) -> web.Response:
    """The file of a page that the route's `name` names, index.html where it names none. `kinds`: all that there are, with
    their content types."""
    name = request.match_info.get("name") or "index.html"
    if name not in kinds:
        raise web.HTTPNotFound(text=f"there is nothing at {request.path}")
    return web.Response(text=(folder / name).read_text(encoding="utf-8"), content_type=kinds[name], headers=headers)


def _leads_here(request: web.Request) -> bool:
    """A link that somebody has followed; the page that has it sees nothing of the answer."""
    is_link = (
        request.headers.get("Sec-Fetch-Mode") == "navigate" and request.headers.get("Sec-Fetch-Dest") == "document"
    )
    return request.method == "GET" and is_link


def _refusal(kind: type[web.HTTPError], words: str) -> web.HTTPError:
    return kind(text=json.dumps({"error": words}), content_type="application/json")


async def listen(runner: web.AppRunner, host: str, port: int) -> int:
    """Returns the port, which 0 lets the kernel choose. Raises OSError: that somebody else has it in words for whoever chose."""
    try:
        await web.TCPSite(runner, host, port, backlog=_BACKLOG).start()
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise OSError(f"port {port} of {host} is taken: --port chooses another, 0 a free one") from None
    bound: int = runner.addresses[0][1]
    return bound


async def serve(
    app: web.Application, address: Address, path: str = "", *, cancels_for_who_is_gone: bool = False
) -> int:
    """Protects it, prints where it listens, and runs until SIGTERM or SIGINT; then it finishes what is under way.

    With `cancels_for_who_is_gone` handlers are cancelled when their client has closed the connection. Returns the number
    of the signal. Raises OSError, as `listen` does.
    """
    stopped: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def stop(number: int) -> None:
        if not stopped.done():
            stopped.set_result(number)

    for one in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(one, stop, one)
    host = address.host
    protect(app, address.allow_remote)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=10, handler_cancellation=cancels_for_who_is_gone)
    await runner.setup()
    try:
        bound = await listen(runner, host, address.port)
        print(f"listening on http://{f'[{host}]' if ':' in host else host}:{bound}{path}", flush=True)
        return await stopped
    finally:
        await runner.cleanup()


def exit_status(number: int) -> int:
    """Of a program that the signal has ended, after it has finished what it had."""
    return 130 if number == signal.SIGINT else 0
