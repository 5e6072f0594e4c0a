# SPDX-License-Identifier: Apache-2.0
"""What a browser shows of an error that programs get as `{"error": words}`."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Awaitable, Callable

from aiohttp import web

_STYLE = """
:root { color-scheme: light dark; }
body { margin: 0; font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 52rem; margin: 0 auto; padding: 1.5rem; }
h1 { font-size: 1.5rem; }
p { overflow-wrap: anywhere; }
p::first-letter { text-transform: uppercase; }
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; img-src data:; base-uri 'none'; "
    "frame-ancestors 'none'",
}
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body>
<main>
<h1>{title}</h1>
<p>{words}</p>
{link}</main>
</body>
</html>
"""


@web.middleware
async def errors_as_pages(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Errors in words, of whoever asks for a page, become one of the same status."""
    wants_page = "text/html" in request.headers.get("Accept", "")
    try:
        answer = await handler(request)
    except web.HTTPException as error:
        if wants_page and (words := _words(error)):
            return _page(request, error, words)
        raise
    return _page(request, answer, words) if wants_page and (words := _words(answer)) else answer


def _page(request: web.Request, answer: web.StreamResponse, words: str) -> web.Response:
    kept = {name: value for name, value in answer.headers.items() if not name.lower().startswith("content-")}
    link = "" if request.path == "/" else '<p><a href="/">To the first page</a></p>\n'
    page = _PAGE.format(title=answer.reason, style=_STYLE, words=html.escape(words), link=link)
    return web.Response(text=page, content_type="text/html", status=answer.status, headers=kept | _HEADERS)


def _words(answer: web.StreamResponse) -> str:
    """Empty: it is no error, or says more than words."""
    if answer.status < 400 or not isinstance(answer, web.Response) or not answer.text:
        return ""
    if answer.content_type == "text/plain":
        return answer.text
    found = json.loads(answer.text) if answer.content_type == "application/json" else None
    return str(found["error"]) if isinstance(found, dict) and found.keys() == {"error"} else ""
