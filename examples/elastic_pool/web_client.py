# SPDX-License-Identifier: Apache-2.0
"""A client of the web tier, for programs: uploads pictures as the page does, and follows the results."""

from __future__ import annotations

import contextlib
import csv
import http.client
import io
import json
import secrets
import time
import urllib.parse
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from elastic_pool.job_store import Result
from elastic_pool.upload import FIELD

_REQUEST_TIMEOUT_S = 60.0
_PAUSE_S = 0.2


class NotTaken(Exception):
    """The web tier has refused; says its status and why."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(f"{status}: {words}")
        self.status = status


@dataclass(frozen=True)
class Reply:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def error(self) -> str:
        """In words; empty: it is none of the web tier's."""
        with contextlib.suppress(ValueError, KeyError, TypeError):
            return str(json.loads(self.body)["error"])
        return ""


class WebClient:
    """Of the web tier at http://HOST:PORT. Methods may be called by any thread, and raise OSError where nobody is there."""

    def __init__(self, url: str) -> None:
        self._at = urllib.parse.urlsplit(url).netloc

    def request(self, method: str, path: str, body: bytes = b"", content_type: str = "") -> Reply:
        connection = http.client.HTTPConnection(self._at, timeout=_REQUEST_TIMEOUT_S)
        with contextlib.closing(connection):
            try:
                connection.request(method, path, body or None, {"Content-Type": content_type} if content_type else {})
                answer = connection.getresponse()
                return Reply(answer.status, answer.headers, answer.read())
            except http.client.HTTPException as error:
                raise ConnectionError(f"the web tier has broken off: {error!r}") from error

    def upload(self, files: Iterable[tuple[str, bytes]]) -> str:
        """The job's path. Names are sent as they are. Raises NotTaken."""
        boundary = secrets.token_hex(16)
        reply = self.request("POST", "/jobs", form(boundary, files), f"multipart/form-data; boundary={boundary}")
        if reply.status != 303:
            raise NotTaken(reply.status, reply.error)
        return reply.headers["Location"]

    def follow(self, job: str, timeout_s: float) -> Iterator[Result]:
        """Each result once, as it comes, until all are there; also across restarts of the web tier. Raises NotTaken,
        TimeoutError."""
        until_s = time.monotonic() + timeout_s
        seen: set[int] = set()
        run, after, pictures = "", 0, -1
        while len(seen) != pictures:
            if time.monotonic() > until_s:
                raise TimeoutError(f"{len(seen)} of {pictures} pictures are answered after {timeout_s:g} s")
            try:
                reply = self.request("GET", f"{job}/results?after={after}&run={run}")
            except OSError:
                time.sleep(_PAUSE_S)
                continue
            if reply.status != 200:
                raise NotTaken(reply.status, reply.error)
            found = json.loads(reply.body)
            run, after, pictures = found["run"], found["answered"], found["pictures"]
            for result in (Result(**one) for one in found["results"]):
                if result.index not in seen:
                    seen.add(result.index)
                    yield result

    def refused(self, job: str) -> int:
        """How many second results the web tier has not kept, since it was started. Raises NotTaken."""
        reply = self.request("GET", f"{job}/results")
        if reply.status != 200:
            raise NotTaken(reply.status, reply.error)
        return int(json.loads(reply.body)["refused"])

    def labels(self, job: str) -> list[list[str]]:
        """Rows of the file `picture,label`, its head first. Raises NotTaken."""
        reply = self.request("GET", f"{job}/labels.csv")
        if reply.status != 200:
            raise NotTaken(reply.status, reply.error)
        return list(csv.reader(io.StringIO(reply.body.decode(), newline="")))


def form(boundary: str, files: Iterable[tuple[str, bytes]]) -> bytes:
    """As browsers send it (RFC 7578, and the HTML standard on quotes and line ends in names)."""
    body = io.BytesIO()
    for name, data in files:
        escaped = name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{FIELD}"; filename="{escaped}"\r\n'
        body.write(f"{head}Content-Type: application/octet-stream\r\n\r\n".encode())
        body.write(data + b"\r\n")
    body.write(f"--{boundary}--\r\n".encode())
    return body.getvalue()
