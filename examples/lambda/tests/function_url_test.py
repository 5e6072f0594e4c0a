# SPDX-License-Identifier: Apache-2.0
"""Function URLs: payload format 2.0 both ways."""

from __future__ import annotations

import base64
import http.client
import json
import os
import time
import urllib.parse
from typing import Any

from local_aws import LocalAws

Answer = tuple[int, http.client.HTTPMessage, bytes]


def send(
    aws: LocalAws,
    function: str,
    body: bytes | None = None,
    path: str = "",
    method: str = "POST",
    headers: dict[str, str] | None = None,
) -> Answer:
    url = urllib.parse.urlsplit(aws.function_url(function))
    connection = http.client.HTTPConnection(url.netloc)
    connection.request(method, url.path + path, body, headers or {})
    answer = connection.getresponse()
    found = answer.read()
    connection.close()
    return answer.status, answer.headers, found


def ask(aws: LocalAws, event: Any, function: str = "plain") -> Answer:
    return send(aws, function, json.dumps(event).encode(), headers={"Content-Type": "application/json"})


def test_event_of_a_request(aws: LocalAws) -> None:
    status, headers, body = send(
        aws,
        "plain",
        path="/layers/7%2F8?name=a&name=b%20c&empty=",
        method="GET",
        headers={"X-Mixed-Case": "Value", "Cookie": "one=1; two=2", "User-Agent": "a test"},
    )
    event = json.loads(body)
    assert status == 200
    assert headers["Content-Type"].startswith("application/json")
    assert event["version"] == "2.0" and event["routeKey"] == "$default"
    assert event["rawPath"] == "/layers/7%2F8"
    assert event["rawQueryString"] == "name=a&name=b%20c&empty="
    assert event["queryStringParameters"] == {"name": "a,b c", "empty": ""}
    assert event["headers"]["x-mixed-case"] == "Value"
    assert event["cookies"] == ["one=1", "two=2"] and "cookie" not in event["headers"]
    context = event["requestContext"]["http"]
    assert (context["method"], context["path"], context["sourceIp"]) == ("GET", "/layers/7%2F8", "127.0.0.1")
    assert (context["protocol"], context["userAgent"]) == ("HTTP/1.1", "a test")
    assert abs(event["requestContext"]["timeEpoch"] / 1e3 - time.time()) < 60
    assert event["isBase64Encoded"] is False and "body" not in event


def test_path_of_the_bare_url(aws: LocalAws) -> None:
    for path in ("", "/"):
        assert json.loads(send(aws, "plain", path=path, method="GET")[2])["rawPath"] == "/"


def test_binary_body_is_base64_and_text_is_text(aws: LocalAws) -> None:
    data = os.urandom(100_000)
    event = json.loads(send(aws, "plain", data, headers={"Content-Type": "application/octet-stream"})[2])
    assert event["isBase64Encoded"] is True
    assert base64.b64decode(event["body"], validate=True) == data
    text = 'a "quoted" text, ü'
    event = json.loads(send(aws, "plain", text.encode(), headers={"Content-Type": "text/plain"})[2])
    assert event["isBase64Encoded"] is False and event["body"] == text
    event = json.loads(send(aws, "plain", b"\xff\xfe", headers={"Content-Type": "text/plain"})[2])
    assert event["isBase64Encoded"] is True


def test_plain_object_is_the_body(aws: LocalAws) -> None:
    status, headers, body = ask(aws, {"answer": {"label": "cat"}})
    assert (status, json.loads(body)) == (200, {"label": "cat"})
    assert headers["Content-Type"].startswith("application/json")
    assert ask(aws, {"answer": "just text"})[2] == b"just text"


def test_answer_with_status_headers_cookies(aws: LocalAws) -> None:
    answer = {
        "statusCode": 418,
        "headers": {"Content-Type": "image/x-teapot", "X-Flag": True},
        "cookies": ["one=1; Secure", "two=2"],
        "body": base64.b64encode(b"\x00\xff").decode(),
        "isBase64Encoded": True,
    }
    status, headers, body = ask(aws, {"answer": answer})
    assert (status, body) == (418, b"\x00\xff")
    assert (headers["Content-Type"], headers["X-Flag"]) == ("image/x-teapot", "true")
    assert headers.get_all("Set-Cookie") == ["one=1; Secure", "two=2"]
    assert ask(aws, {"answer": {"statusCode": 201, "body": "made"}})[::2] == (201, b"made")
    assert ask(aws, {"answer": {"statusCode": 204}})[::2] == (204, b"")


def test_answers_that_are_none(aws: LocalAws) -> None:
    for answer in (
        {"statusCode": "many"},
        {"statusCode": 200, "body": "&&&", "isBase64Encoded": True},
        {"statusCode": 200, "headers": ["a"]},
    ):
        assert ask(aws, {"answer": answer})[::2] == (502, b"Internal Server Error")


def test_failures_of_the_function(aws: LocalAws) -> None:
    assert ask(aws, {"do": "fail", "message": "no"})[::2] == (502, b"Internal Server Error")
    assert ask(aws, {"do": "exit", "status": 1})[::2] == (502, b"Internal Server Error")
    assert ask(aws, {"do": "sleep", "seconds": 5}, "brief")[0] == 504
    assert ask(aws, {"answer": 1})[0] == 200
    assert ask(aws, {}, "nobody")[0] == 404


def test_too_large_either_way(aws: LocalAws) -> None:
    fits, too_large = os.urandom(4_700_000), os.urandom(4_720_000)
    kind = {"Content-Type": "application/octet-stream"}
    assert send(aws, "plain", fits, headers=kind)[0] == 200
    status, _, body = send(aws, "plain", too_large, headers=kind)
    assert (status, json.loads(body)) == (413, {"message": "Request Entity Too Large"})
    assert send(aws, "plain", os.urandom(11 * 2**20), headers=kind)[0] == 413
    assert ask(aws, {"do": "answer", "bytes": 6_400_000})[0] == 502
