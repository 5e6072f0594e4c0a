# SPDX-License-Identifier: Apache-2.0
"""Function URLs: any HTTP request becomes an event of payload format 2.0, the answer an HTTP answer.

Events and answers are those of API Gateway's HTTP APIs too (apigateway/latest/developerguide, "Working with AWS Lambda
proxy integrations for HTTP APIs"); the statuses of failures are those of function URLs (lambda/latest/dg/urls-invocation).
"""

from __future__ import annotations

import base64
import datetime
import json
import urllib.parse
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from .body import BodyTooLarge, read_body
from .faults import Fault, Faults, date_header, meet
from .function import FunctionPool, Throttled
from .gateway import MAX_EVENT_BYTES

_TEXT = ("text/", "application/json", "application/javascript", "application/xml", "application/x-www-form-urlencoded")
_READ_BYTES = 10 * 2**20


class MalformedAnswer(ValueError):
    """A function's answer is no HTTP answer."""


@dataclass
class FunctionUrls:
    """Serves every function below /NAME."""

    pools: Mapping[str, FunctionPool]
    faults: Faults
    region: str

    def application(self) -> web.Application:
        application = web.Application()
        application.router.add_route("*", "/{function}", self._on_request)
        application.router.add_route("*", "/{function}/{path:.*}", self._on_request)
        return application

    async def _on_request(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["function"]
        fault = self.faults.take(name) or Fault(times=0)
        await meet(fault, request)
        pool = self.pools.get(name)
        if fault.status:
            return _failure(fault.status, fault)
        if pool is None:
            return _failure(404, fault)
        try:
            event = event_of(request, await read_body(request, _READ_BYTES), name, self.region)
        except BodyTooLarge:
            return _failure(413, fault)
        if len(event) > MAX_EVENT_BYTES:
            return _failure(413, fault)
        try:
            result = await pool.invoke(event, {})
        except Throttled:
            return _failure(429, fault)
        except OSError:
            return _failure(500, fault)
        if result.error is not None:
            return _failure(504 if result.error.startswith("Sandbox.Timedout") else 502, fault, result.request_id)
        try:
            return answer_of(result.payload, _headers(fault, result.request_id))
        except MalformedAnswer:
            return _failure(502, fault, result.request_id)


_MESSAGES = {
    404: "Not Found",
    413: "Request Entity Too Large",
    429: "Too Many Requests",
    503: "Service Unavailable",
    504: "Endpoint request timed out",
}


def _failure(status: int, fault: Fault, request_id: str = "") -> web.Response:
    headers = _headers(fault, request_id)
    if status == 429:
        headers["Retry-After"] = f"{1 if fault.retry_after_s is None else fault.retry_after_s:g}"
    if status == 502:
        return web.Response(status=502, text="Internal Server Error", headers=headers)
    body = json.dumps({"message": _MESSAGES.get(status, "Internal Server Error")}).encode()
    return web.Response(status=status, body=body, content_type="application/json", headers=headers)


def _headers(fault: Fault, request_id: str) -> dict[str, str]:
    return {"Date": date_header(fault.clock_skew_s), "x-amzn-RequestId": request_id or str(uuid.uuid4())}


def event_of(request: web.Request, body: bytes, name: str, region: str) -> bytes:
    """The event as JSON. A body that is not text is put in as base64."""
    path = "/" + request.raw_path.split("?")[0].removeprefix(f"/{name}").lstrip("/")
    domain = f"{name}.lambda-url.{region}.on.aws"
    now = datetime.datetime.now(datetime.timezone.utc)
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": request.raw_path.partition("?")[2],
        "headers": _joined(request),
        "requestContext": {
            "accountId": "anonymous",
            "apiId": name,
            "domainName": domain,
            "domainPrefix": name,
            "http": {
                "method": request.method,
                "path": path,
                "protocol": f"HTTP/{request.version.major}.{request.version.minor}",
                "sourceIp": request.remote or "",
                "userAgent": request.headers.get("User-Agent", ""),
            },
            "requestId": str(uuid.uuid4()),
            "routeKey": "$default",
            "stage": "$default",
            "time": now.strftime("%d/%b/%Y:%H:%M:%S +0000"),
            "timeEpoch": int(now.timestamp() * 1e3),
        },
    }
    if request.cookies:
        event["cookies"] = [one.strip() for one in request.headers["Cookie"].split(";")]
    if request.query:
        event["queryStringParameters"] = _parameters(request.query_string)
    return _with_body(event, body, request.headers.get("Content-Type", ""))


def _with_body(event: dict[str, Any], body: bytes, content_type: str) -> bytes:
    """Base64 needs no escapes: it is put between quotes instead of being passed through the JSON writer."""
    text: str | None = None
    if content_type.lower().startswith(_TEXT):
        try:
            text = body.decode()
        except UnicodeDecodeError:
            pass
    event["isBase64Encoded"] = bool(body) and text is None
    if not body:
        return json.dumps(event).encode()
    if text is not None:
        return json.dumps(event | {"body": text}).encode()
    return b'%b, "body": "%b"}' % (json.dumps(event).encode()[:-1], base64.b64encode(body))


def _joined(request: web.Request) -> dict[str, str]:
    """Lower-case names; values of a repeated header with commas between."""
    joined: dict[str, str] = {}
    for name, value in request.headers.items():
        name = name.lower()
        if name != "cookie":
            joined[name] = f"{joined[name]},{value}" if name in joined else value
    return joined


def _parameters(query: str) -> dict[str, str]:
    parsed = urllib.parse.parse_qs(query, keep_blank_values=True)
    return {name: ",".join(values) for name, values in parsed.items()}


def answer_of(payload: bytes, headers: dict[str, str]) -> web.Response:
    """An object with statusCode says what to answer; anything else is the body of a 200. Raises MalformedAnswer."""
    try:
        answer = json.loads(payload)
    except ValueError:
        raise MalformedAnswer(f"{len(payload)} bytes that are no JSON") from None
    if not isinstance(answer, dict) or "statusCode" not in answer:
        body = answer.encode() if isinstance(answer, str) else payload
        return web.Response(body=body, content_type="application/json", headers=headers)
    try:
        response = web.Response(status=int(answer["statusCode"]), body=_body_of(answer), headers=headers)
        for name, value in (answer.get("headers") or {}).items():
            response.headers[name] = str(value).lower() if isinstance(value, bool) else str(value)
        for cookie in answer.get("cookies") or []:
            response.headers.add("Set-Cookie", cookie)
    except (TypeError, ValueError, AttributeError) as error:
        raise MalformedAnswer(str(error)) from None
    response.headers.setdefault("Content-Type", "application/json")
    return response


def _body_of(answer: dict[str, Any]) -> bytes:
    body = answer.get("body", "")
    if answer.get("isBase64Encoded"):
        return base64.b64decode(body, validate=True)
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()
