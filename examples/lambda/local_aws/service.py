# SPDX-License-Identifier: Apache-2.0
"""The process in which everything runs; `stack.LocalAws` starts it and talks to it.

One line of JSON on its standard input is the configuration, each further one a command; each is answered by one line on
standard output. It ends itself, and all that it has started, when its input ends: also when its parent was killed.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import json
import os
import signal
import sys
from typing import Any

from aiohttp import web

from .configuration import Configuration
from .faults import Fault, Faults
from .function import FunctionPool
from .function_url import FunctionUrls
from .gateway import Gateway
from .limits import support
from .moto_server import MotoServer, create
from .s3_trigger import S3Carrier
from .signature import Account
from .sqs_source import SqsPoller

ACCESS_KEY_ID = "AKIDLOCALAWSEXAMPLE0"
SECRET_ACCESS_KEY = "local-aws+example/secret0123456789ABCDEF"
SESSION_TOKEN = "local-aws-session"  # Functions always have temporary credentials.


class Service:
    """Everything of one configuration."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._faults = Faults()
        self._pools: dict[str, FunctionPool] = {}
        self._closing = contextlib.AsyncExitStack()
        self._lines: collections.deque[tuple[str, str]] = collections.deque(maxlen=10_000)

    async def start(self) -> dict[str, Any]:
        """What LocalAws has to know: addresses, environment, whether memory sizes are simulated."""
        wanted = self._configuration
        lambda_port, url_port, moto_port = wanted.ports
        moto = MotoServer(moto_port)
        self._closing.callback(moto.stop)
        account = Account(
            ACCESS_KEY_ID, SECRET_ACCESS_KEY, wanted.region, "lambda", frozenset(wanted.expired_session_tokens)
        )
        gateway = Gateway(account, self._pools, self._faults)
        urls = FunctionUrls(self._pools, self._faults, wanted.region)
        lambda_port = await self._serve(gateway.application(), lambda_port)
        self._closing.push_async_callback(gateway.close)
        url_port = await self._serve(urls.application(), url_port)
        environment = {
            "AWS_REGION": wanted.region,
            "AWS_DEFAULT_REGION": wanted.region,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
            "AWS_ENDPOINT_URL_LAMBDA": f"http://127.0.0.1:{lambda_port}",
            **{f"AWS_ENDPOINT_URL_{name}": moto.url for name in ("S3", "SQS", "DYNAMODB")},
        }
        possible = support()
        inside = environment | {"AWS_SESSION_TOKEN": SESSION_TOKEN}
        for function in wanted.functions:
            pool = FunctionPool(function, inside, possible, self._on_log)
            self._pools[function.name] = pool
            self._closing.push_async_callback(pool.close)
        await asyncio.to_thread(moto.wait)
        await asyncio.to_thread(create, environment, wanted.buckets, wanted.tables, wanted.queues)
        await self._start_triggers(environment)
        return {
            "environment": environment,
            "function_urls": f"http://127.0.0.1:{url_port}",
            "simulates_memory": possible.cpu is not None,
            "limits": possible.describe(),
        }

    async def _serve(self, application: web.Application, port: int) -> int:
        """Listens on loopback and returns the port."""
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        self._closing.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", port).start()
        return int(runner.addresses[0][1])

    async def _start_triggers(self, environment: dict[str, str]) -> None:
        for trigger in self._configuration.triggers:
            await self._start_carrier(S3Carrier(trigger, self._pools[trigger.function], environment))
        for source in self._configuration.sources:
            await self._start_carrier(SqsPoller(source, self._pools[source.function], environment))

    async def _start_carrier(self, carrier: S3Carrier | SqsPoller) -> None:
        await asyncio.to_thread(carrier.create)
        task = asyncio.ensure_future(carrier.run())
        self._closing.callback(task.cancel)

    def _on_log(self, function: str, line: str) -> None:
        self._lines.append((function, line))

    async def command(self, wanted: dict[str, Any]) -> Any:
        """Raises KeyError for an unknown function."""
        match wanted:
            case {"do": "invocations", "function": name}:
                return [dataclasses.asdict(one) for one in self._pools[name].invocations]
            case {"do": "log", "function": name}:
                return list(self._pools[name].log)
            case {"do": "new lines"}:
                lines = list(self._lines)
                self._lines.clear()
                return lines
            case {"do": "recycle", "function": name}:
                return await self._pools[name].recycle()
            case {"do": "fail", "function": name, "fault": fault}:
                self._faults.add(self._pools[name].function.name, Fault(**fault))
                return None
        raise ValueError(f"unknown command {wanted}")

    async def close(self) -> None:
        await self._closing.aclose()


async def _serve_input() -> None:
    reader = asyncio.StreamReader(limit=2**24)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    line = await reader.readline()
    service = Service(Configuration.from_json(line.decode()))
    try:
        answer: dict[str, Any] = {"value": await service.start()}
        while True:
            print(json.dumps(answer), flush=True)
            if not (line := await reader.readline()):
                return
            try:
                answer = {"value": await service.command(json.loads(line))}
            except Exception as error:  # Whatever it is, the parent has to know.
                answer = {"error": f"{type(error).__name__}: {error}"}
    except BrokenPipeError:
        return
    except Exception as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), flush=True)
    finally:
        await service.close()


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's; the end of the input is ours.
    asyncio.run(_serve_input())
    os._exit(0)  # Doesn't wait for a thread that polls a queue whose server has gone.


if __name__ == "__main__":
    main()
