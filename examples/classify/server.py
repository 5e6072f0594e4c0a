# SPDX-License-Identifier: Apache-2.0
"""What is at this URL? A picture's address in, what it shows out.

    python -m classify.server --bucket BUCKET [--worker sqs://classify-{model}] [--models FILE] [--port 8080]

| request | answer |
| --- | --- |
| `GET /classify?url=URL[&model=NAME]` | the label, once it is there: JSON, or with `Accept: text/plain` the label alone |
| `GET /results/ID` | the same later; 202 as long as it is being worked on |
| `GET /models` | the names of the models, and the one that is asked when none is named |
| `GET /` | a page to try it |

Each answer has the request's number in `X-Request-Id`. Errors are `{"error": words}`: 400 bad URL, 403 an address that is
not public, 404 unknown model, 413 file too large, 415 no picture, 502 not fetched, 503 too many requests, 504 no label
within the time: it will be at /results/ID. SIGTERM ends it with 0, Ctrl-C with 130.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from pathlib import Path

from aiohttp import web

import splitnet
from classify.addresses import AddressRule, Endpoint
from classify.fetcher import open_fetcher
from classify.models_file import known_models
from classify.outcomes import STORE_ERRORS, Outcome, OutcomeStore
from classify.service import ClassifyService, OverloadedError, ServiceLimits
from common.serving import Address, add_address, exit_status, is_of_another_site, serve
from elastic_pool.classifiers import Classifier, UnknownClassifierError

DEFAULT_MODEL = "mobilenet_v2"
RETRY_AFTER_S = 5

_ENDS: tuple[type[Exception], ...] = (OSError, ValueError, *STORE_ERRORS)
_PAGES = Path(__file__).with_name("pages")

_SERVICE: web.AppKey[ClassifyService] = web.AppKey("service")
_POOL_PAGE: web.AppKey[str] = web.AppKey("pool page")


def make_app(service: ClassifyService, pool_page: str = "") -> web.Application:
    """The server. `pool_page` is the address of the page about the workers; empty: there is none."""
    app = web.Application(middlewares=[_errors_in_json])
    app[_SERVICE] = service
    app[_POOL_PAGE] = pool_page
    app.router.add_get("/", _page)
    app.router.add_get("/models", _models)
    app.router.add_get("/classify", _classify)
    app.router.add_get("/results/{id}", _result)
    app.router.add_static("/pages/", _PAGES)
    app.on_startup.append(_resume)
    app.on_shutdown.append(_end_waits)
    app.on_cleanup.append(_close)
    return app


async def _resume(app: web.Application) -> None:
    await app[_SERVICE].resume()


async def _end_waits(app: web.Application) -> None:
    app[_SERVICE].end_waits()


async def _close(app: web.Application) -> None:
    await app[_SERVICE].close()


async def _page(_: web.Request) -> web.StreamResponse:
    return web.FileResponse(_PAGES / "index.html")


async def _models(request: web.Request) -> web.Response:
    known = list(request.app[_SERVICE].models)
    return web.json_response({"models": known, "default": DEFAULT_MODEL, "pool_page": request.app[_POOL_PAGE]})


async def _classify(request: web.Request) -> web.Response:
    if is_of_another_site(request):  # A link to it, too, would make the service do something.
        return _error(HTTPStatus.FORBIDDEN, "another site's page has sent this")
    unknown = set(request.query) - {"url", "model"}
    urls = request.query.getall("url", [])
    if unknown or len(urls) != 1:
        return _error(
            HTTPStatus.BAD_REQUEST, "expected /classify?url=URL&model=NAME, with characters like & in the URL as %26"
        )
    try:
        outcome = await request.app[_SERVICE].classify(urls[0], request.query.get("model", DEFAULT_MODEL))
    except UnknownClassifierError as error:
        return _error(HTTPStatus.NOT_FOUND, str(error))
    except OverloadedError as error:
        return _error(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
    return _answer(request, outcome)


async def _result(request: web.Request) -> web.Response:
    service, identifier = request.app[_SERVICE], request.match_info["id"]
    try:
        outcome = await service.result(identifier)
        if outcome is None and await service.is_waiting(identifier):
            return web.json_response({"id": identifier, "waiting": True}, status=HTTPStatus.ACCEPTED)
        if outcome is None:  # It may have come between the two.
            outcome = await service.result(identifier)
    except UnknownClassifierError as error:
        return _error(HTTPStatus.NOT_FOUND, f"the result is not there, and won't come from this service: {error}")
    except STORE_ERRORS as error:
        print(f"classify: the object store: {error}", file=sys.stderr)
        return _error(HTTPStatus.SERVICE_UNAVAILABLE, "the object store can't be reached: try again")
    if outcome is None:
        return _error(HTTPStatus.NOT_FOUND, "there is no result of that number")
    return _answer(request, outcome)


def _answer(request: web.Request, outcome: Outcome) -> web.Response:
    headers = {"X-Request-Id": outcome.request.id, **_again(outcome.status)}
    if "text/plain" in request.headers.get("Accept", ""):
        words = outcome.label or f"error: {outcome.error}"
        return web.Response(text=f"{words}\n", status=outcome.status, headers=headers)
    return web.json_response(outcome.to_json(), status=outcome.status, headers=headers)


def _error(status: HTTPStatus, words: str) -> web.Response:
    return web.json_response({"error": words}, status=status, headers=_again(status))


def _again(status: HTTPStatus) -> dict[str, str]:
    return {"Retry-After": str(RETRY_AFTER_S)} if status == HTTPStatus.SERVICE_UNAVAILABLE else {}


@web.middleware
async def _errors_in_json(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        answer = await handler(request)
    except web.HTTPException as error:
        words = "there is nothing at this address" if error.status == HTTPStatus.NOT_FOUND else error.reason
        answer = _error(HTTPStatus(error.status), words)
    except ConnectionError:
        raise  # Whoever asked is gone.
    except Exception as error:
        print(f"classify: {type(error).__name__}: {error}", file=sys.stderr)
        answer = _error(HTTPStatus.INTERNAL_SERVER_ERROR, "the service failed; its log says why")
    answer.headers["Cache-Control"] = "no-store"
    return answer


async def _serve(options: argparse.Namespace, address: Address) -> int:
    limits = ServiceLimits(answer_s=options.answer_timeout)
    models = known_models(options.models)

    def open_session(model: Classifier) -> splitnet.Session:
        worker = options.worker.replace("{model}", model.name)
        return model.open_session(worker, deadline_s=limits.give_up_s, max_in_flight=limits.pictures)

    async with open_fetcher(AddressRule(exceptions=frozenset(options.allow_address))) as fetcher:
        service = ClassifyService(OutcomeStore(options.bucket), fetcher, open_session, limits, models)
        app = make_app(service, options.pool_page)
        return await serve(app, address, cancels_for_who_is_gone=True)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="classify.server", description=(__doc__ or "").splitlines()[0])
    address_of = add_address(parser, 8080)
    parser.add_argument("--bucket", required=True, help="of S3, for results; it has to be there")
    parser.add_argument(
        "--worker", default="sqs://classify-{model}", help="endpoint of the workers of a model (%(default)s)"
    )
    parser.add_argument(
        "--models", type=Path, metavar="FILE", help="JSON with more models, as classify/models_file.py describes it"
    )
    parser.add_argument(
        "--allow-address",
        type=_endpoint,
        action="append",
        default=[],
        metavar="ADDRESS:PORT",
        help="fetch from here although it is not public; may be repeated",
    )
    parser.add_argument(
        "--answer-timeout", type=float, default=ServiceLimits.answer_s, metavar="SECONDS", help="(%(default)g)"
    )
    parser.add_argument("--pool-page", default="", metavar="URL", help="of the page about the workers")
    options = parser.parse_args(arguments)
    address = address_of(options)
    try:
        return exit_status(asyncio.run(_serve(options, address)))
    except _ENDS as error:
        print(f"classify.server: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:  # While it starts.
        return 130


def _endpoint(text: str) -> Endpoint:
    try:
        return Endpoint.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


if __name__ == "__main__":
    sys.exit(main())
