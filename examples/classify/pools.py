# SPDX-License-Identifier: Apache-2.0
"""The workers of all models on this machine: a queue and a controller for each, which has workers as long as there is work."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

from aiohttp import web

from elastic_pool.classifiers import Classifier
from elastic_pool.controller import Controller, queue_pool
from elastic_pool.policies import LatencyTarget
from elastic_pool.pool_page import add_pool_page
from elastic_pool.real_run import WORKER_ARGUMENTS
from local_aws.tail_function import prepared_model

QUEUE = "classify-{model}"

Pools = Mapping[str, Controller]


@contextmanager
def running_pools(
    models: Mapping[str, Classifier], environment: Mapping[str, str], policy: LatencyTarget
) -> Iterator[Pools]:
    """By model. No worker runs before something waits; all have ended when the block does. Raises QueueError,
    RuntimeError (a model can't be prepared)."""
    with ExitStack() as stack:
        yield {name: stack.enter_context(_pool(model, environment, policy)) for name, model in models.items()}


def _pool(model: Classifier, environment: Mapping[str, str], policy: LatencyTarget) -> Controller:
    prepared = prepared_model(model.model_file())
    queue = QUEUE.format(model=model.name)
    return queue_pool([f"{model.name}={prepared}"], queue, policy, environment, WORKER_ARGUMENTS)


def pools_app(pools: Pools) -> web.Application:
    """A page for each pool, and one that leads to them."""
    app = web.Application()
    for name, pool in pools.items():
        add_pool_page(app, pool, f"/{name}")
    links = "".join(f'<li><a href="/{name}/">{name}</a></li>' for name in pools)
    page = f'<!doctype html><html lang="en"><title>Workers</title><h1>Workers</h1><ul>{links}</ul></html>'

    async def index(_: web.Request) -> web.Response:
        return web.Response(text=page, content_type="text/html")

    app.router.add_get("/", index)
    return app
