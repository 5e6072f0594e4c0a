# SPDX-License-Identifier: Apache-2.0
"""Errors for browsers and for programs."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from common.serving import protect

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


async def _answer(request: web.Request) -> web.StreamResponse:
    error = web.json_response({"error": "a <b>mistake</b>"}, status=503, headers={"Retry-After": "2"})
    answers: dict[str, web.StreamResponse] = {
        "error": error,
        "more": web.json_response({"error": "no label", "id": "7"}, status=504),
        "list": web.json_response(["no object"], status=500),
        "fine": web.json_response({"error": "none"}),
        "empty": web.Response(status=500),
    }
    if request.match_info["kind"] == "raised":
        raise web.HTTPNotFound(text=json.dumps({"error": "there is no such job"}), content_type="application/json")
    return answers[request.match_info["kind"]]


def asked(path: str, headers: dict[str, str]) -> tuple[int, str, str, str | None]:
    """Status, kind, body, and when to come again."""

    async def ask() -> tuple[int, str, str, str | None]:
        app = web.Application()
        app.router.add_get("/{kind}", _answer)
        protect(app)
        async with TestServer(app) as server, aiohttp.ClientSession() as http:
            async with http.get(server.make_url(path), headers=headers) as answer:
                return answer.status, answer.content_type, await answer.text(), answer.headers.get("Retry-After")

    return asyncio.run(ask())


@pytest.mark.parametrize("accept", [{}, {"Accept": "application/json"}, {"Accept": "*/*"}])
def test_programs_get_json(accept: dict[str, str]) -> None:
    assert asked("/error", accept) == (503, "application/json", '{"error": "a <b>mistake</b>"}', "2")
    assert asked("/raised", accept)[:3] == (404, "application/json", '{"error": "there is no such job"}')


def test_browsers_get_a_page() -> None:
    status, kind, page, again = asked("/error", BROWSER)
    assert (status, kind, again) == (503, "text/html", "2")
    assert "<p>a &lt;b&gt;mistake&lt;/b&gt;</p>" in page and "<h1>Service Unavailable</h1>" in page
    status, kind, page, _ = asked("/raised", BROWSER)
    assert (status, kind) == (404, "text/html") and "<p>there is no such job</p>" in page and 'href="/"' in page


def test_what_a_server_says_by_itself_is_a_page_too() -> None:
    status, kind, page, _ = asked("/no/such/path", BROWSER)
    assert (status, kind) == (404, "text/html") and "<h1>Not Found</h1>" in page
    status, kind, page, _ = asked("/error", BROWSER | {"Host": "rebound.example"})
    assert (status, kind) == (421, "text/html") and "<p>Host: found &#x27;rebound.example&#x27;" in page
    assert 'href="/"' not in asked("/", BROWSER)[2], "it would lead to the same error"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/more", (504, "application/json", '{"error": "no label", "id": "7"}', None)),
        ("/list", (500, "application/json", '["no object"]', None)),
        ("/fine", (200, "application/json", '{"error": "none"}', None)),
        ("/empty", (500, "application/octet-stream", "", None)),
    ],
)
def test_all_else_stays_as_it_is(path: str, expected: tuple[int, str, str, str | None]) -> None:
    assert asked(path, BROWSER) == expected
