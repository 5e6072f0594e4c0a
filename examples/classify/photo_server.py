# SPDX-License-Identifier: Apache-2.0
"""Serves real photos on loopback, to be classified: /NAME, with their list at /.

    python -m classify.photo_server [--count 24] [--port 8090]

The photos are those of elastic_pool.photos.varied_photos. SIGTERM ends it with 0, Ctrl-C with 130.
"""

from __future__ import annotations

import argparse
import asyncio
import mimetypes
import sys
from collections.abc import Sequence
from functools import partial

from aiohttp import web

from common.serving import add_address, exit_status, serve
from elastic_pool.photos import varied_photos


def make_app(count: int) -> web.Application:
    """The server, with so many photos."""
    files = {photo.name: photo.file for photo in varied_photos(count)}
    app = web.Application()
    app.router.add_get("/", partial(_list, list(files)))
    app.router.add_get("/{name}", partial(_photo, files))
    return app


async def _list(names: list[str], _: web.Request) -> web.Response:
    return web.json_response(names)


async def _photo(files: dict[str, bytes], request: web.Request) -> web.Response:
    name = request.match_info["name"]
    if name not in files:
        raise web.HTTPNotFound(text=f"there is no photo {name}\n")
    return web.Response(body=files[name], content_type=mimetypes.guess_type(name)[0] or "application/octet-stream")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="classify.photo_server", description=(__doc__ or "").splitlines()[0])
    address = add_address(parser, 8090)
    parser.add_argument("--count", type=int, default=24, help="of different photos (%(default)s)")
    options = parser.parse_args(arguments)
    return exit_status(asyncio.run(serve(make_app(options.count), address(options))))


if __name__ == "__main__":
    sys.exit(main())
