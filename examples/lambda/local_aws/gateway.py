# SPDX-License-Identifier: Apache-2.0
"""Lambda's Invoke API (lambda/latest/api/API_Invoke): POST /2015-03-31/functions/NAME/invocations, signed."""

from __future__ import annotations

import asyncio
import base64
import json
import urllib.parse
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

from aiohttp import web

from . import service_error
from .body import BodyTooLarge, read_hashed_body
from .configuration import ACCOUNT
from .faults import Fault, Faults, date_header, meet
from .function import FunctionPool, Result, Throttled
from .service_error import ServiceError
from .signature import Account, check_signature

MAX_EVENT_BYTES = 6 * 2**20
MAX_ASYNCHRONOUS_BYTES = 2**20
MAX_CONTEXT_BYTES = 3583
_READ_BYTES = 16 * 2**20  # Up to here a body is read, and its signature checked, before it is found too large.
_ASYNCHRONOUS_TRIES = 3
_RETRY_DELAY_S = 1.0  # On AWS one minute, then two.


@dataclass
class Gateway:
    """Calls functions for signed requests."""

    account: Account
    pools: Mapping[str, FunctionPool]
    faults: Faults
    _asynchronous: set[asyncio.Task[None]] = field(default_factory=set)

    def application(self) -> web.Application:
        application = web.Application()
        application.router.add_post("/2015-03-31/functions/{function:.+}/invocations", self._on_invoke)
        application.router.add_route("*", "/{path:.*}", self._on_other)
        return application

    async def _on_other(self, request: web.Request) -> web.StreamResponse:
        return _error(ServiceError(404, "UnknownOperationException", f"{request.method} {request.path}"), 0.0)

    async def _on_invoke(self, request: web.Request) -> web.StreamResponse:
        name = _name_of(request.match_info["function"])
        fault = self.faults.take(name) or Fault(times=0)
        try:
            await meet(fault, request)
            try:
                body, sha256 = await read_hashed_body(request, _READ_BYTES)
            except BodyTooLarge:
                raise service_error.too_large(MAX_EVENT_BYTES) from None
            check_signature(self.account, request.method, request.raw_path, request.headers, sha256, fault.clock_skew_s)
            if fault.status:
                raise _scripted(fault)
            return await self._answer(request, name, body, fault)
        except ServiceError as error:
            return _error(error, fault.clock_skew_s, fault.retry_after_s)

    async def _answer(self, request: web.Request, name: str, body: bytes, fault: Fault) -> web.StreamResponse:
        pool = self._pool(name, request.query.get("Qualifier", ""))
        if len(body) > MAX_EVENT_BYTES:
            raise service_error.too_large(MAX_EVENT_BYTES)
        kind = request.headers.get("X-Amz-Invocation-Type", "RequestResponse")
        if kind == "DryRun":
            return web.Response(status=204, headers=_headers(str(uuid.uuid4()), fault.clock_skew_s))
        body = body or b"{}"
        _check_json(body)
        passed = passed_headers(request.headers)
        if kind == "Event":
            if len(body) > MAX_ASYNCHRONOUS_BYTES:
                raise service_error.event_too_large(len(body), MAX_ASYNCHRONOUS_BYTES)
            self._later(pool, body, passed)
            return web.Response(status=202, headers=_headers(str(uuid.uuid4()), fault.clock_skew_s))
        if kind != "RequestResponse":
            raise service_error.invalid_parameter(
                f"1 validation error detected: Value '{kind}' at 'invocationType' failed to satisfy constraint: "
                "Member must satisfy enum value set: [Event, RequestResponse, DryRun]"
            )
        result = await _run(pool, body, passed)
        headers = _headers(result.request_id, fault.clock_skew_s)
        headers["X-Amz-Executed-Version"] = "$LATEST"
        if result.error is not None:
            headers["X-Amz-Function-Error"] = "Unhandled"
        if request.headers.get("X-Amz-Log-Type") == "Tail":
            headers["X-Amz-Log-Result"] = result.log_tail.decode()
        return web.Response(body=result.payload, content_type="application/json", headers=headers)

    def _pool(self, name: str, qualifier: str) -> FunctionPool:
        pool = self.pools.get(name)
        if pool is None or qualifier not in ("", "$LATEST"):
            arn = f"arn:aws:lambda:{self.account.region}:{ACCOUNT}:function:{name}"
            raise service_error.not_found(f"{arn}:{qualifier}" if qualifier else arn)
        return pool

    def _later(self, pool: FunctionPool, body: bytes, headers: dict[str, str]) -> None:
        task = asyncio.ensure_future(self._run_until_done(pool, body, headers))
        self._asynchronous.add(task)
        task.add_done_callback(self._asynchronous.discard)

    async def _run_until_done(self, pool: FunctionPool, body: bytes, headers: dict[str, str]) -> None:
        """Two retries after function errors; throttling is waited out, as on AWS (there for up to six hours)."""
        tries = 0
        while tries < _ASYNCHRONOUS_TRIES:
            try:
                result = await pool.invoke(body, headers)
                if result.error is None:
                    return
                tries += 1
            except Throttled:
                pass
            await asyncio.sleep(_RETRY_DELAY_S)

    async def close(self) -> None:
        for task in list(self._asynchronous):
            task.cancel()
        await asyncio.gather(*self._asynchronous, return_exceptions=True)


async def _run(pool: FunctionPool, body: bytes, headers: dict[str, str]) -> Result:
    try:
        return await pool.invoke(body, headers)
    except Throttled:
        raise service_error.throttled() from None
    except OSError as error:
        raise service_error.internal(str(error)) from None


def passed_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """What goes on to the runtime. Raises ServiceError."""
    names = ("X-Amz-Client-Context", "X-Amzn-Trace-Id")
    passed = {name: headers[name] for name in names if name in headers}
    context = passed.get("X-Amz-Client-Context", "")
    try:
        if len(context) > MAX_CONTEXT_BYTES:
            raise ValueError(f"{len(context)} bytes, expected at most {MAX_CONTEXT_BYTES}")
        base64.b64decode(context, validate=True)
    except ValueError as error:
        raise service_error.invalid_content(
            f"Client context must be a valid Base64-encoded JSON object: {error}"
        ) from None
    return passed


def _check_json(body: bytes) -> None:
    """Lambda takes JSON only. Parsing 4 MB of it takes 5 ms or so, less than the service needs."""
    try:
        json.loads(body)
    except ValueError as error:
        raise service_error.invalid_content(f"Could not parse request body into json: {error}") from None


def _name_of(function: str) -> str:
    """`name`, `name:qualifier`, `account:function:name` or an ARN."""
    parts = urllib.parse.unquote(function).split(":")
    return parts[parts.index("function") + 1] if "function" in parts[:-1] else parts[0]


def _scripted(fault: Fault) -> ServiceError:
    if fault.status == 429:
        return service_error.throttled()
    if fault.status >= 500:
        return ServiceError(fault.status, "ServiceException", "Service is unavailable", Type="Service")
    return ServiceError(fault.status, "AccessDeniedException", "Scripted fault")


def _headers(request_id: str, skew_s: float) -> dict[str, str]:
    return {"Date": date_header(skew_s), "x-amzn-RequestId": request_id}


def _error(error: ServiceError, skew_s: float, retry_after_s: float | None = None) -> web.Response:
    headers = _headers(str(uuid.uuid4()), skew_s) | {"x-amzn-ErrorType": error.kind}
    if error.status == 429:
        headers["Retry-After"] = f"{1 if retry_after_s is None else retry_after_s:g}"
    return web.Response(status=error.status, body=error.body, content_type="application/json", headers=headers)
