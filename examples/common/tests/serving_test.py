# SPDX-License-Identifier: Apache-2.0
"""What servers do for no page of another site, and what they tell browsers."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from common.serving import Address, protect, serve

LINK = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


async def _hello(_: web.Request) -> web.Response:
    return web.Response(text="hello", headers={"Referrer-Policy": "same-origin"})


async def _stream(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse()
    await answer.prepare(request)
    await answer.write(b"hello")
    return answer


def asked(
    headers: Mapping[str, str], path: str = "/hello", method: str = "GET", allow_remote: bool = False
) -> tuple[int, str, Mapping[str, str]]:
    """Status, body, headers."""

    async def ask() -> tuple[int, str, Mapping[str, str]]:
        app = web.Application()
        app.router.add_route("*", "/hello", _hello)
        app.router.add_get("/stream", _stream)
        protect(app, allow_remote)
        async with TestServer(app) as server, aiohttp.ClientSession() as http:
            async with http.request(method, server.make_url(path), headers=headers) as answer:
                return answer.status, await answer.text(), answer.headers

    return asyncio.run(ask())


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8080", "localhost:1", "LocalHost", "[::1]:8080", "[::1]"])
def test_this_machine_is_asked_by_its_names(host: str) -> None:
    assert asked({"Host": host})[:2] == (200, "hello")


@pytest.mark.parametrize(
    "host",
    ["rebound.example:8080", "127.0.0.1.example", "localhost.example", "::1", "127.0.0.1:8080:1", "10.0.0.1", ""],
)
def test_another_name_is_refused(host: str) -> None:
    status, body, _ = asked({"Host": host})
    assert status == 421 and f"Host: found '{host}', expected 127.0.0.1" in body
    assert asked({"Host": host}, allow_remote=True)[:2] == (200, "hello")


@pytest.mark.parametrize("allow_remote", [False, True])
@pytest.mark.parametrize("site", ["cross-site", "same-site", "anything"])
def test_pages_of_other_sites_get_nothing_but_links(site: str, allow_remote: bool) -> None:
    from_there = {"Sec-Fetch-Site": site}
    for method, headers in [
        ("GET", from_there),
        ("POST", from_there),
        ("POST", from_there | LINK),  # A form.
        ("GET", from_there | LINK | {"Sec-Fetch-Dest": "iframe"}),
    ]:
        status, body, _ = asked(headers, method=method, allow_remote=allow_remote)
        assert status == 403 and "another site" in body
    assert asked(from_there | LINK, allow_remote=allow_remote)[0] == 200


def test_over_plain_http_the_origin_tells_other_sites() -> None:
    """A browser on another machine says nothing else there."""
    for origin, status in [
        ("http://pool.example:8080", 200),
        ("http://pool.example", 403),
        ("http://evil.example:8080", 403),
        ("null", 403),
        ("", 403),
    ]:
        headers = {"Host": "pool.example:8080", "Origin": origin}
        assert asked(headers, method="POST", allow_remote=True)[0] == status, origin
    own = {"Host": "pool.example:8080", "Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin"}
    assert asked(own, method="POST", allow_remote=True)[0] == 200, "where a browser says it, that is what counts"


@pytest.mark.parametrize("site", ["same-origin", "none"])
def test_its_own_pages_may_ask(site: str) -> None:
    for method in ("GET", "POST"):
        assert asked({"Sec-Fetch-Site": site}, method=method)[0] == 200


@pytest.mark.parametrize(
    ("path", "headers", "expected"),
    [
        ("/hello", {}, 200),
        ("/stream", {}, 200),
        ("/nothing", {}, 404),
        ("/hello", {"Sec-Fetch-Site": "same-site"}, 403),
    ],
)
def test_every_answer_has_the_headers(path: str, headers: Mapping[str, str], expected: int) -> None:
    status, _, found = asked(headers, path)
    assert status == expected
    assert found["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in found["Content-Security-Policy"]
    assert found["Referrer-Policy"] == ("same-origin" if status == 200 and path == "/hello" else "no-referrer")


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(OSError, match=f"^port {port} of 127.0.0.1 is taken: --port chooses another, 0 a free one$"):
            asyncio.run(serve(web.Application(), Address("127.0.0.1", port)))
