# SPDX-License-Identifier: Apache-2.0
"""One execution environment's runtime API, with a function URL in front: enough to watch a function start.

A client's request becomes a proxy event (payload format 2.0), the function gets it as its next invocation, and its answer
goes back to the client. Nothing is started or ended here, and every step is noted with its time.
"""

from __future__ import annotations

import base64
import itertools
import json
import queue
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

PREFIX = "/2018-06-01/runtime/"
TIMEOUT_S = 60.0


@dataclass
class Invocation:
    """Times are those of time.monotonic, in seconds."""

    request_id: str
    event: bytes
    given_s: float = 0.0  #: The function has it.
    answered_s: float = 0.0
    answer: dict[str, Any] = field(default_factory=dict)
    done: threading.Event = field(default_factory=threading.Event)


class RuntimeApi:
    """Listens on a free port of the loopback until it is closed."""

    def __init__(self) -> None:
        self.first_next = threading.Event()
        self.first_next_s = 0.0  #: When the function first asked for an invocation.
        self.init_error: str | None = None
        self.invocations: list[Invocation] = []
        self._waiting: queue.Queue[Invocation] = queue.Queue()
        self._numbers = itertools.count(1)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"api": self}))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self) -> RuntimeApi:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def address(self) -> str:
        """As AWS_LAMBDA_RUNTIME_API has it."""
        return f"127.0.0.1:{self._server.server_port}"

    def next(self) -> Invocation:
        """What the function gets; waits until there is something."""
        if not self.first_next.is_set():
            self.first_next_s = time.monotonic()
            self.first_next.set()
        invocation = self._waiting.get()
        invocation.given_s = time.monotonic()
        return invocation

    def invoke(self, event: dict[str, Any]) -> dict[str, Any]:
        """The function's answer to an event. Raises TimeoutError."""
        invocation = Invocation(f"00000000-0000-0000-0000-{next(self._numbers):012}", json.dumps(event).encode())
        self.invocations.append(invocation)
        self._waiting.put(invocation)
        if not invocation.done.wait(TIMEOUT_S):
            raise TimeoutError(f"the function has not answered within {TIMEOUT_S:.0f} s")
        return invocation.answer

    def take_answer(self, request_id: str, answer: dict[str, Any]) -> None:
        invocation = next(one for one in self.invocations if one.request_id == request_id)
        invocation.answered_s = time.monotonic()
        invocation.answer = answer
        invocation.done.set()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    api: RuntimeApi

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        if self.path != PREFIX + "invocation/next":
            return self._forward()
        invocation = self.api.next()
        self._reply(
            200,
            invocation.event,
            {
                "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
                "Lambda-Runtime-Deadline-Ms": str(int((time.time() + TIMEOUT_S) * 1000)),
                "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:us-east-1:123456789012:function:observed",
                "Content-Type": "application/json",
            },
        )

    def do_POST(self) -> None:
        if not self.path.startswith(PREFIX):
            return self._forward()
        answer = json.loads(self._body())
        what = self.path.removeprefix(PREFIX).split("/")
        if what == ["init", "error"]:
            self.api.init_error = str(answer)
        else:
            self.api.take_answer(what[1], answer)
        self._reply(202, b'{"status":"OK"}', {"Content-Type": "application/json"})

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _reply(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _forward(self) -> None:
        """A client's request, as a function URL hands it on."""
        path, _, query = self.path.partition("?")
        event = {
            "version": "2.0",
            "routeKey": "$default",
            "rawPath": path,
            "rawQueryString": query,
            "headers": {name.lower(): value for name, value in self.headers.items()},
            "requestContext": {
                "http": {"method": self.command, "path": path, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1"},
                "stage": "$default",
            },
            "body": base64.b64encode(self._body()).decode(),
            "isBase64Encoded": True,
        }
        answer = self.api.invoke(event)
        body = str(answer.get("body", ""))
        self._reply(
            int(answer.get("statusCode", 502)),
            base64.b64decode(body) if answer.get("isBase64Encoded") else body.encode(),
            {name: str(value) for name, value in answer.get("headers", {}).items() if name.lower() != "content-length"},
        )
