# SPDX-License-Identifier: Apache-2.0
"""A custom runtime in a page: does what its event asks for. Also run for function URLs, whose event has it as the body."""

from __future__ import annotations

import base64
import http.client
import json
import os
import sys
import time
from typing import Any

_API = "/2018-06-01/runtime"


class FunctionError(Exception):
    """Reported to the runtime API as an error object."""


def handle(event: dict[str, Any]) -> Any:
    """`do`: what; by default the event is the answer."""
    match event:
        case {"do": "fail", "message": message}:
            raise FunctionError(message)
        case {"do": "exit", "status": status}:
            os._exit(status)
        case {"Records": [{"s3": {"object": {"key": "poison.jpg"}}}]}:
            os._exit(1)
        case {"Records": [{"eventSource": "aws:sqs"}, *_] as records}:
            return read(records)
        case {"do": "sleep", "seconds": seconds}:
            begun_s = time.monotonic()
            time.sleep(seconds)
            return {"pid": os.getpid(), "begun_s": begun_s, "ended_s": time.monotonic()}
        case {"do": "work", "seconds": seconds}:
            end_s = time.process_time() + seconds
            while time.process_time() < end_s:
                pass
        case {"do": "allocate", "megabytes": megabytes}:
            data = bytearray(os.urandom(2**20)) * megabytes
            time.sleep(event.get("seconds", 0))
            return len(data)
        case {"do": "answer", "bytes": size}:
            return "x" * size
        case {"do": "print", "text": text}:
            print(text, flush=True)
        case {"do": "environment"}:
            return dict(os.environ)
    return event


def read(messages: list[dict[str, Any]]) -> Any:
    """A batch of a queue. A message fails until it was received `succeeds_at` times; says or raises, as REPORTS has it."""
    print(json.dumps({"pid": os.getpid(), "begun_s": time.monotonic(), "messages": messages}), flush=True)
    failed = []
    for message in messages:
        asked = json.loads(message["body"])
        time.sleep(asked.get("seconds", 0))
        if int(message["attributes"]["ApproximateReceiveCount"]) < asked.get("succeeds_at", 1):
            failed.append({"itemIdentifier": message["messageId"]})
    print(json.dumps({"pid": os.getpid(), "ended_s": time.monotonic()}), flush=True)
    if failed and "REPORTS" not in os.environ:
        raise FunctionError(f"{len(failed)} of {len(messages)} failed")
    return {"batchItemFailures": failed}


def as_asked(event: Any) -> Any:
    """A function URL's event is answered as its body says, and returned when it has none."""
    if not isinstance(event, dict) or "requestContext" not in event or "body" not in event:
        return handle(event) if isinstance(event, dict) else event
    body = event["body"]
    text = base64.b64decode(body) if event["isBase64Encoded"] else body
    try:
        asked = json.loads(text)
    except ValueError:
        return event
    return asked["answer"] if "answer" in asked else handle(asked)


def main() -> None:
    match sys.argv[1:]:
        case ["exit at start"]:
            print("this runtime ends before it has begun", flush=True)
            sys.exit(7)
        case ["fail at start"]:
            post("init/error", {"errorType": "Test.NoModel", "errorMessage": "no model"})
            sys.exit(1)
        case ["hang at start"]:
            time.sleep(60)
    connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    while True:
        connection.request("GET", f"{_API}/invocation/next")
        answer = connection.getresponse()
        event = json.loads(answer.read())
        invocation = f"invocation/{answer.headers['Lambda-Runtime-Aws-Request-Id']}"
        try:
            post(f"{invocation}/response", as_asked(event))
        except FunctionError as error:
            post(f"{invocation}/error", {"errorType": "FunctionError", "errorMessage": str(error)})


def post(path: str, document: Any) -> None:
    connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    connection.request("POST", f"{_API}/{path}", json.dumps(document))
    connection.getresponse().read()


if __name__ == "__main__":
    main()
