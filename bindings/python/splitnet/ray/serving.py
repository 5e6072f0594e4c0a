# SPDX-License-Identifier: Apache-2.0
"""Workers behind Ray Serve: it starts replicas as requests come, and shares the requests out."""

from __future__ import annotations

import asyncio
import hmac
import os
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp
from ray import serve
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from splitnet import _core
from splitnet.errors import InvalidArgument, TooLarge
from splitnet.partitioner import Partitioner
from splitnet.ray.memory import keep_memory_of_passes
from splitnet.worker import Worker

#: What of a head concerns the two ends, and not one connection (RFC 9110, section 7.6.1).
_REQUEST_HEADERS = ("authorization", "content-type", "traceparent", "tracestate")
_RESPONSE_HEADERS = ("content-type", "retry-after", "www-authenticate")

_WRONG_TOKENS_PER_S = 1e6


def deployment(
    models: str | os.PathLike[str] | Mapping[str, str | os.PathLike[str]],
    *,
    example_inputs: Sequence[Any] | Mapping[str, Sequence[Any]] = (),
    threads: int = 1,
    token: str = "",
    **options: Any,
) -> serve.Application:
    """An application for `ray.serve.run`: in each replica a Worker with these models.

    Sessions reach it at Serve's address and the route of the application, `http://127.0.0.1:8000/ROUTE`, and may ask for
    any cut: tails, or with `cut=splitnet.Cut.at_input()` the whole model. Programs in the cluster call a handle,
    `handle.run.remote(x)`, which runs the whole model (`model="NAME"` says which, where there are several).

    `models` is a TorchScript file, served under its stem, or files by name: each machine of the cluster needs them at
    that place. `example_inputs`, for sessions that plan, are of the one model or by name. `threads` is for one pass,
    and is how many processors a replica asks Ray for. `token`: sessions have to show it. `options` are those of
    `ray.serve.deployment`: `autoscaling_config`, `num_replicas`, `max_ongoing_requests`, `ray_actor_options`, ….

    Whoever reaches Serve's address reaches the worker; by default that is this machine. Raises InvalidArgument.
    """
    files = dict(models) if isinstance(models, Mapping) else {_stem(models): models}
    inputs = dict(example_inputs) if isinstance(example_inputs, Mapping) else {name: example_inputs for name in files}
    unknown = sorted(set(inputs) - set(files))
    if not files or unknown:
        raise InvalidArgument(f"example_inputs are for {sorted(inputs)}, expected models among {sorted(files)}")
    for name, file in files.items():
        if not os.path.isfile(file):
            raise InvalidArgument(f"model {name}: there is no file {os.fspath(file)}")
    settings = {"name": "splitnet-worker", **options}
    settings["ray_actor_options"] = {"num_cpus": threads, **settings.get("ray_actor_options", {})}
    paths = {name: os.path.abspath(file) for name, file in files.items()}
    replicas: Any = serve.deployment(WorkerReplica)
    application: serve.Application = replicas.options(**settings).bind(
        paths, {name: list(one) for name, one in inputs.items()}, threads, token
    )
    return application


def _stem(file: str | os.PathLike[str]) -> str:
    return os.path.splitext(os.path.basename(os.fspath(file)))[0]


async def body_of(request: Request, most_bytes: int) -> bytearray:
    """Raises TooLarge as soon as that is known."""
    refused = TooLarge(f"found a body of more than {most_bytes} bytes, expected at most so many")
    if int(request.headers.get("content-length", 0)) > most_bytes:
        raise refused
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > most_bytes:
            raise refused
    return body


class WorkerReplica:
    """A worker in a replica of Serve, and the way to it. What is wrong with a request, the worker answers."""

    def __init__(
        self, files: Mapping[str, str], example_inputs: Mapping[str, Sequence[Any]], threads: int, token: str
    ) -> None:
        keep_memory_of_passes()
        self._parts = {name: Partitioner(file, example_inputs.get(name, ())) for name, file in files.items()}
        stage_options = _core.StageOptions(threads=threads)
        self._whole = {name: part.stages([], stage_options)[0] for name, part in self._parts.items()}
        # For the worker all clients are one address, this process: who has a wrong token must not shut the others out.
        access = _core.ListenOptions(max_wrong_tokens_per_s=_WRONG_TOKENS_PER_S)
        self._worker = Worker(self._parts, "http://127.0.0.1:0", threads=threads, token=token, listen_options=access)
        self._token = token.encode()
        self._most_bytes = access.limits.max_message_bytes
        self._client: aiohttp.ClientSession | None = None

    async def __call__(self, request: Request) -> Response:
        """One message of a session, and the answer."""
        if self._client is None:
            # How long an answer may take is for sessions to say; aiohttp alone would end it after 300 s.
            self._client = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None))
        headers = {name: request.headers[name] for name in _REQUEST_HEADERS if name in request.headers}
        body = bytearray()  # Of who doesn't show the token nothing is read: the worker refuses the head.
        if self._shows_token(request):
            try:
                body = await body_of(request, self._most_bytes)
            except TooLarge as error:
                return PlainTextResponse(str(error), 413)
        async with self._client.request(request.method, self._worker.address, data=body, headers=headers) as answer:
            known = {name: answer.headers[name] for name in _RESPONSE_HEADERS if name in answer.headers}
            return Response(await answer.read(), answer.status, known)

    def _shows_token(self, request: Request) -> bool:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        return (
            not self._token or scheme.lower() == "bearer" and hmac.compare_digest(token.encode("latin-1"), self._token)
        )

    async def run(self, *inputs: Any, model: str = "") -> Any:
        """What the model gives for these inputs. Raises InvalidArgument, and as Stage.run."""
        name = model or (next(iter(self._parts)) if len(self._parts) == 1 else "")
        if name not in self._parts:
            raise InvalidArgument(f"model is '{name}', expected one of {sorted(self._parts)}")
        stage = self._whole[name]
        outputs = await asyncio.to_thread(stage.run, list(inputs))
        slots = dict(zip(stage.info.result_slots, outputs, strict=True))
        return self._parts[name].assemble([slots[number] for number in range(len(slots))])

    def __del__(self) -> None:
        """Serve has let what was under way finish."""
        if hasattr(self, "_worker"):
            self._worker.close()
