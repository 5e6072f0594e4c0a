# SPDX-License-Identifier: Apache-2.0
"""The web tier over HTTP: pictures come in, labels go out, workers do the work.

    python -m elastic_pool.web --bucket BUCKET [--worker sqs://QUEUE] [--port 8080]

| request | answer |
| --- | --- |
| `GET /` | the page |
| `POST /jobs`, multipart/form-data, files in the field `pictures` | 303 to `/jobs/JOB`, once all of them are in the bucket |
| `GET /jobs/JOB` | the page with its results, which fills by itself |
| `GET /jobs/JOB/results?after=N&run=RUN` | JSON: what came after the first N results; with the `run` of the answer before it waits a while for more |
| `GET /jobs/JOB/pictures/INDEX` | the picture, small |
| `GET /jobs/JOB/labels.csv` | the file `picture,label`; 409 as long as the job is not done |

Errors are `{"error": words}`, in a browser a page. Jobs outlive the program: started again on the same bucket, it goes on with what has no result.
SIGTERM ends it with 0, Ctrl-C with 130.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import asdict, fields
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from aiohttp import web

import splitnet
from common.pictures import PictureError
from common.serving import Address, add_address, exit_status, serve
from elastic_pool.classifiers import CLASSIFIERS, classifier
from elastic_pool.classifying import Classifying, Job, Settings
from elastic_pool.job_store import STORE_ERRORS, JobStore, NoSuchInput, NoSuchJob
from elastic_pool.labels import labels_file
from elastic_pool.upload import Limits, Refused
from elastic_pool.web_tier import WebTier

_PAGES = Path(__file__).with_name("web_files")
_JOB = re.compile(r"[A-Za-z0-9_-]{22}")
_PATIENCE_S = 20.0  #: Of a request for results: shorter than what proxies allow.

#: What the program ends with, in one line.
_ENDS: tuple[type[Exception], ...] = (splitnet.Error, OSError, ValueError) + STORE_ERRORS

_Value = TypeVar("_Value")

_TIER: web.AppKey[WebTier] = web.AppKey("tier")
_ENDING: web.AppKey[asyncio.Event] = web.AppKey("ending")


def make_app(tier: WebTier) -> web.Application:
    """The server."""
    app = web.Application(middlewares=[_errors_in_json])
    app[_TIER] = tier
    app[_ENDING] = asyncio.Event()
    app.router.add_get("/", partial(_page, "start.html"))
    app.router.add_post("/jobs", _accept)
    app.router.add_get("/jobs/{job}", partial(_page, "job.html"))
    app.router.add_get("/jobs/{job}/results", _results)
    app.router.add_get(r"/jobs/{job}/pictures/{index:\d{1,5}}", _picture)
    app.router.add_get("/jobs/{job}/labels.csv", _labels)
    app.router.add_static("/pages/", _PAGES)
    app.on_startup.append(_resume)
    app.on_shutdown.append(_end_waits)
    app.on_cleanup.append(tier.close)
    return app


async def _resume(app: web.Application) -> None:
    await app[_TIER].resume()


async def _end_waits(app: web.Application) -> None:
    app[_ENDING].set()


async def _page(name: str, request: web.Request) -> web.StreamResponse:
    if "job" in request.match_info:
        await _job(request)
    return web.FileResponse(_PAGES / name, headers={"Cache-Control": "no-cache"})


async def _accept(request: web.Request) -> web.Response:
    try:
        job = await request.app[_TIER].accept(request)
    except Refused as error:
        return web.json_response({"error": str(error)}, status=error.status, headers=_again(error.status))
    return web.Response(status=303, headers={"Location": f"/jobs/{job}"})


async def _results(request: web.Request) -> web.Response:
    tier, job = request.app[_TIER], await _job(request)
    after = request.query.get("after", "0")
    if not re.fullmatch(r"\d{1,6}", after):
        raise _error(web.HTTPBadRequest, f"after: found {after[:20]!r}, expected a number of results")
    is_news = request.query.get("run") != tier.run  # Who asks for the first time hears at once how it stands.
    known = 0 if is_news else int(after)
    if not is_news:
        await _more_than(job, known, request.app[_ENDING])
    return web.json_response(
        {
            "run": tier.run,
            "pool": tier.pool,
            "pictures": len(job.accepted.pictures),
            "answered": len(job.results),
            "refused": job.refused,
            "results": [asdict(one) for one in job.results[known:]],
        },
        headers={"Cache-Control": "no-store"},
    )


async def _more_than(job: Job, known: int, ending: asyncio.Event) -> None:
    """Waits for more results, a while, and not while the program ends."""
    waits = [asyncio.ensure_future(one) for one in (job.more_than(known, _PATIENCE_S), ending.wait())]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in waits:
            one.cancel()


async def _picture(request: web.Request) -> web.Response:
    job, index = await _job(request), int(request.match_info["index"])
    if index >= len(job.accepted.pictures):
        raise _error(web.HTTPNotFound, f"the job has {len(job.accepted.pictures)} pictures, there is no {index}")
    try:
        small = await request.app[_TIER].small_picture(job.id, index)
    except (PictureError, NoSuchInput) as error:
        raise _error(web.HTTPNotFound, str(error)) from None
    return web.Response(body=small, content_type="image/jpeg", headers={"Cache-Control": "private, max-age=86400"})


async def _labels(request: web.Request) -> web.Response:
    job = await _job(request)
    if not job.is_done:
        words = (
            f"{len(job.results)} of {len(job.accepted.pictures)} pictures are answered, the file is there when all are"
        )
        raise _error(web.HTTPConflict, words)
    text = labels_file(one.row for one in sorted(job.results, key=lambda one: one.index))
    name = {"Content-Disposition": 'attachment; filename="labels.csv"'}
    return web.Response(body=text, content_type="text/csv", charset="utf-8", headers=name)


async def _job(request: web.Request) -> Job:
    identifier = request.match_info["job"]
    try:
        if not _JOB.fullmatch(identifier):
            raise NoSuchJob(identifier)
        return await request.app[_TIER].job(identifier)
    except NoSuchJob:
        raise _error(web.HTTPNotFound, "there is no such job") from None


def _error(kind: type[web.HTTPError], words: str) -> web.HTTPError:
    return kind(**_json(words))


def _json(words: str) -> dict[str, Any]:
    return {"text": json.dumps({"error": words}), "content_type": "application/json"}


def _again(status: int) -> dict[str, str]:
    return {"Retry-After": "2"} if status == 503 else {}


@web.middleware
async def _errors_in_json(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except (web.HTTPMethodNotAllowed, web.HTTPNotFound) as error:
        if error.content_type != "application/json":  # aiohttp's own.
            error.text = json.dumps({"error": f"there is nothing for {request.method} {request.path}"})
            error.content_type = "application/json"
        raise
    except web.HTTPException:
        raise
    except ConnectionError:
        raise  # Whoever asked is gone.
    except STORE_ERRORS as error:
        print(f"web: the object store: {error}", file=sys.stderr)
        raise _error(web.HTTPServiceUnavailable, "the object store can't be reached: try again") from None
    except Exception as error:
        print(f"web: {type(error).__name__}: {error}", file=sys.stderr)
        raise _error(web.HTTPInternalServerError, "the web tier failed; its log says why") from None


#: Of the fields of Settings and Limits: what they mean.
_OPTIONS = {
    "at_once": "pictures that workers are asked about at once",
    "answer_s": "seconds after which a picture is sent again",
    "give_up_s": "seconds after which it is not any more",
    "max_decoded_pixels": "a picture with more is refused",
    "decoding": "pictures decoded at once",
    "pictures": "in one upload",
    "picture_bytes": "of one file",
    "total_bytes": "of one upload",
    "held_bytes": "of one upload, in memory",
    "silence_s": "seconds that an upload may stand still, or be too slow",
    "total_s": "seconds that an upload may take",
    "uploads": "at once",
}


def _add_options(parser: argparse.ArgumentParser, kind: type[Settings] | type[Limits]) -> None:
    for one in fields(kind):
        name, default = one.name.replace("_", "-"), one.default
        parser.add_argument(
            f"--{name}", type=type(default), default=default, help=f"{_OPTIONS[one.name]} (%(default)s)"
        )


def _chosen(kind: Callable[..., _Value], names: Iterable[str], options: argparse.Namespace) -> _Value:
    return kind(**{name: getattr(options, name) for name in names})


async def _serve(options: argparse.Namespace, settings: Settings, limits: Limits, address: Address) -> int:
    store = JobStore(options.bucket)
    classifying = Classifying(store, classifier(options.model), options.worker, settings)
    return await serve(make_app(WebTier(store, classifying, limits, options.pool)), address)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="elastic_pool.web", description=(__doc__ or "").splitlines()[0])
    address_of = add_address(parser, 8080)
    parser.add_argument("--bucket", required=True, help="of S3, for pictures and results; it has to be there")
    parser.add_argument("--worker", default="sqs://classify", help="endpoint of the workers (%(default)s)")
    parser.add_argument("--model", choices=list(CLASSIFIERS), default="mobilenet_v2", help="(%(default)s)")
    parser.add_argument("--pool", default="", metavar="URL", help="page about the workers, for a link to it")
    for kind in (Settings, Limits):
        _add_options(parser, kind)
    options = parser.parse_args(arguments)
    address = address_of(options)
    try:
        settings = _chosen(Settings, (one.name for one in fields(Settings)), options)
        limits = _chosen(Limits, (one.name for one in fields(Limits)), options)
        classifier(options.model).model_file()
        return exit_status(asyncio.run(_serve(options, settings, limits, address)))
    except _ENDS as error:
        print(f"elastic_pool.web: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:  # While it starts.
        return 130


if __name__ == "__main__":
    sys.exit(main())
