# SPDX-License-Identifier: Apache-2.0
"""`POST /object-detection`: `{"id", "image_data"}` in; `{"id", "objects": [{"label", "accuracy"}], "inference_time"}` out.

    python -m detection.server [--port 8080] [--worker ENDPOINT [--cut LAYER]]

`image_data` is the picture's file in base64, `inference_time` is in milliseconds. With `?details=1` each
object has its `box` too (left, top, right, bottom in pixels of the picture), and `steps` says where the time went.
Errors are `{"error": words}`. SIGTERM lets it finish what it has, and it ends with 0; Ctrl-C likewise, with 130.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import binascii
import json
import sys
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

from aiohttp import web

import splitnet
from common.pictures import PictureError
from common.serving import add_address, exit_status, serve
from detection import model_files, placing
from detection.boxes import MAX_FILE_BYTES
from detection.detector import Answer, Detector, Steps, in_session

PATH = "/object-detection"
_MAX_BODY_BYTES = MAX_FILE_BYTES * 4 // 3 + 2**16  # In base64, with some room for the rest.
_MAX_HELD_BYTES = 256 * 2**20
_BODY_TIMEOUT_S = 60.0


class Detecting:
    """Detects for many clients at once, within bounds on memory: `at_once` pictures are decoded and detected at a time,
    `max_waiting` may wait, and the bodies of all that are coming or waiting take no more than `max_held_bytes`."""

    def __init__(
        self, detector: Detector, at_once: int = 2, max_waiting: int = 16, max_held_bytes: int = _MAX_HELD_BYTES
    ) -> None:
        self._detector = detector
        self._threads = ThreadPoolExecutor(at_once, "detect")
        self._places = at_once + max_waiting
        self._free_bytes = max_held_bytes

    async def answer(self, request: web.Request) -> tuple[str | int, Answer]:
        """The request's id, and what is in its picture. Raises web.HTTPError."""
        body = bytearray()
        try:
            await self._read(request, body)
            return await self._detect(body)
        finally:
            self._free_bytes += len(body)

    async def _read(self, request: web.Request, body: bytearray) -> None:
        try:
            async with asyncio.timeout(_BODY_TIMEOUT_S):
                async for chunk in request.content.iter_any():
                    if len(body) + len(chunk) > _MAX_BODY_BYTES:
                        raise _too_large(request)
                    if len(chunk) > self._free_bytes:
                        raise _busy()
                    body += chunk
                    self._free_bytes -= len(chunk)
        except TimeoutError:
            raise _error(web.HTTPRequestTimeout, f"the body was not there within {_BODY_TIMEOUT_S:g} s") from None

    async def _detect(self, body: bytearray) -> tuple[str | int, Answer]:
        if not self._places:
            raise _busy()
        self._places -= 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._detected, body)
        finally:
            self._places += 1

    def _detected(self, body: bytearray) -> tuple[str | int, Answer]:
        identifier, data = _parsed(body)
        try:
            return identifier, self._detector.detect(data)
        except PictureError as error:
            raise _error(web.HTTPUnprocessableEntity, f"image_data: {error}") from None

    async def close(self, _: web.Application) -> None:
        self._threads.shutdown()


_DETECTING: web.AppKey[Detecting] = web.AppKey("detecting")


def make_app(detecting: Detecting) -> web.Application:
    """The server."""
    app = web.Application(middlewares=[_errors_in_json])
    app[_DETECTING] = detecting
    app.router.add_post(PATH, _object_detection)
    app.on_cleanup.append(detecting.close)
    return app


async def _object_detection(request: web.Request) -> web.Response:
    identifier, answer = await request.app[_DETECTING].answer(request)
    objects: list[dict[str, Any]] = [{"label": one.label, "accuracy": round(one.accuracy, 4)} for one in answer.objects]
    reply: dict[str, Any] = {"id": identifier, "objects": objects, "inference_time": _milliseconds(answer.inference_s)}
    if request.query.get("details") == "1":
        for described, one in zip(objects, answer.objects, strict=True):
            described["box"] = [round(edge, 1) for edge in one.box]
        reply["steps"] = _described(answer.steps)
    return web.json_response(reply)


def _described(steps: Steps) -> dict[str, float | str]:
    return {
        "device_time": _milliseconds(steps.device_s),
        "transfer_time": _milliseconds(steps.transfer_s),
        "worker_time": _milliseconds(steps.worker_s),
        "sent_bytes": steps.sent_bytes,
        "received_bytes": steps.received_bytes,
        "answered_by": steps.answered_by or "this device",
    }


def _milliseconds(time_s: float) -> float:
    return round(time_s * 1e3, 3)


def _parsed(body: bytearray) -> tuple[str | int, bytes]:
    """The id, and the picture's bytes."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        _refuse(f"the body is not JSON: {error}")
    if not isinstance(found, dict):
        _refuse(f"found {_kind(found)}, expected an object with id and image_data")
    missing = [name for name in ("id", "image_data") if name not in found]
    if missing:
        _refuse(f"{' and '.join(missing)} is missing, found {', '.join(found) or 'nothing'}")
    if unknown := found.keys() - {"id", "image_data"}:
        _refuse(f"found {', '.join(sorted(unknown))}, expected id and image_data only")
    identifier, image = found["id"], found["image_data"]
    if not isinstance(identifier, str | int) or isinstance(identifier, bool):
        _refuse(f"id: found {_kind(identifier)}, expected a string or an integer")
    if not isinstance(image, str):
        _refuse(f"image_data: found {_kind(image)}, expected the picture in base64, a string")
    try:
        return identifier, base64.b64decode(image, validate=True)
    except (binascii.Error, ValueError) as error:
        _refuse(f"image_data is not base64: {error}")


def _kind(value: object) -> str:
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return kinds.get(type(value), "a number")


def _refuse(words: str) -> NoReturn:
    raise _error(web.HTTPBadRequest, words)


def _busy() -> web.HTTPError:
    return _error(web.HTTPServiceUnavailable, "too many requests are under way: try again", {"Retry-After": "1"})


def _too_large(request: web.Request) -> web.HTTPError:
    words = f"the body is too large, expected at most {_MAX_BODY_BYTES} bytes"
    return web.HTTPRequestEntityTooLarge(_MAX_BODY_BYTES, request.content_length or 0, **_json(words))


def _json(words: str) -> dict[str, Any]:
    return {"text": json.dumps({"error": words}), "content_type": "application/json"}


def _error(kind: type[web.HTTPError], words: str, headers: dict[str, str] | None = None) -> web.HTTPError:
    return kind(headers=headers, **_json(words))


@web.middleware
async def _errors_in_json(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPMethodNotAllowed as error:
        error.text = json.dumps({"error": f"found {request.method}, expected POST"})
        error.content_type = "application/json"
        raise
    except web.HTTPNotFound:
        raise _error(web.HTTPNotFound, f"there is nothing at {request.path}, expected {PATH}") from None
    except web.HTTPException:
        raise
    except Exception as error:
        print(f"server: {type(error).__name__}: {error}", file=sys.stderr)
        raise _error(web.HTTPInternalServerError, "the detector failed; its log says why") from None


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="detection.server", description=(__doc__ or "").splitlines()[0])
    address_of = add_address(parser, 8080)
    parser.add_argument("--models", type=Path, default=model_files.FOLDER, help="folder of the model's files")
    placing.add_arguments(parser)
    options = parser.parse_args(arguments)
    address = address_of(options)
    try:
        with placing.open_session(model_files.partitioner(options.models), options) as session:
            if words := session.explain(5):
                print(words, file=sys.stderr)
            detector = Detector(in_session(session), model_files.class_names(options.models))
            number = asyncio.run(serve(make_app(Detecting(detector)), address, PATH))
    except (splitnet.Error, OSError) as error:
        print(f"detection.server: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:  # While it loads the model.
        return 130
    return exit_status(number)


if __name__ == "__main__":
    sys.exit(main())
