# SPDX-License-Identifier: Apache-2.0
"""Servers of the examples: where they listen, and how they end."""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections.abc import Callable

from aiohttp import web

_BACKLOG = 1024  #: Connections that wait to be taken: many clients come at once.
_THIS_MACHINE = ("127.0.0.1", "::1", "localhost")


def add_address(parser: argparse.ArgumentParser, port: int) -> Callable[[argparse.Namespace], tuple[str, int]]:
    """Adds --host, --port and --allow-remote. What it returns gives host and port of what was found, or ends the program:
    where other machines reach it, that has to be said."""
    parser.add_argument("--host", default=_THIS_MACHINE[0], help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=port, help="0 chooses a free one (%(default)s)")
    parser.add_argument(
        "--allow-remote", action="store_true", help="listen where other machines reach it: anyone may ask"
    )

    def address(options: argparse.Namespace) -> tuple[str, int]:
        if options.host not in _THIS_MACHINE and not options.allow_remote:
            parser.error(f"--host {options.host}: other machines may reach it; say --allow-remote if that is meant")
        return options.host, options.port

    return address


async def serve(
    app: web.Application, host: str, port: int, path: str = "", *, cancels_for_who_is_gone: bool = False
) -> int:
    """Prints where it listens, and runs until SIGTERM or SIGINT; then it finishes what is under way.

    With `cancels_for_who_is_gone` handlers are cancelled when their client has closed the connection. Returns the number
    of the signal.
    """
    stopped: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def stop(number: int) -> None:
        if not stopped.done():
            stopped.set_result(number)

    for one in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(one, stop, one)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=10, handler_cancellation=cancels_for_who_is_gone)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, backlog=_BACKLOG).start()
        bound = runner.addresses[0][1]
        print(f"listening on http://{f'[{host}]' if ':' in host else host}:{bound}{path}", flush=True)
        return await stopped
    finally:
        await runner.cleanup()


def exit_status(number: int) -> int:
    """Of a program that the signal has ended, after it has finished what it had."""
    return 130 if number == signal.SIGINT else 0
