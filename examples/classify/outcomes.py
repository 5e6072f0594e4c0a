# SPDX-License-Identifier: Apache-2.0
"""What became of requests, in a bucket of S3:

    results/ID    the picture's URL and its label; of a request that was told to look here, also why there is none
    promised/ID   a request that was told to look for its result later, and has none yet

So whoever was told to come back finds an answer, also after the program was started anew. A promise for a model that no
program knows again is kept by none: a lifecycle rule of the bucket ends it (README.md has it).
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Any

from common.aws_client import AWS_ERRORS, aws_client

#: What the store raises when S3 can't be reached or refuses.
STORE_ERRORS = AWS_ERRORS

_ID = re.compile(r"[A-Za-z0-9_-]{22}")


@dataclass(frozen=True)
class Request:
    """A picture, and who is to say what it shows."""

    id: str
    picture: str  #: Its URL.
    model: str


@dataclass(frozen=True)
class Outcome:
    """A label, or why there is none."""

    request: Request
    label: str = ""
    probability: float = 0.0
    status: HTTPStatus = HTTPStatus.OK
    error: str = ""  #: Empty: there is a label.

    def to_json(self) -> dict[str, Any]:
        """As the answer to whoever asked has it."""
        found = asdict(self.request)
        if self.error:
            return found | {"error": self.error}
        return found | {"label": self.label, "probability": round(self.probability, 4)}


def new_id() -> str:
    """Nobody can guess it: who knows it may see the picture's URL."""
    return secrets.token_urlsafe(16)


class OutcomeStore:
    """In one bucket. Thread-safe; every method waits for S3 and raises STORE_ERRORS."""

    def __init__(self, bucket: str, environment: Mapping[str, str] | None = None) -> None:
        self._bucket = bucket
        self._s3 = aws_client("s3", environment)

    def put(self, outcome: Outcome) -> None:
        """May be repeated."""
        document = asdict(outcome.request) | {
            "label": outcome.label,
            "probability": outcome.probability,
            "status": int(outcome.status),
            "error": outcome.error,
        }
        self._put(f"results/{outcome.request.id}", document)

    def get(self, identifier: str) -> Outcome | None:
        """None: there is none, or not yet."""
        found = self._get(f"results/{identifier}")
        if found is None:
            return None
        status = HTTPStatus(found["status"])
        return Outcome(_request(found), found["label"], found["probability"], status, found["error"])

    def promise(self, request: Request) -> None:
        self._put(f"promised/{request.id}", asdict(request))

    def promised_request(self, identifier: str) -> Request | None:
        """None: it was not promised, or is not any more."""
        found = self._get(f"promised/{identifier}")
        return None if found is None else _request(found)

    def promised(self) -> list[str]:
        """The numbers of all, of this program's earlier lives too."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix="promised/")
        return [one["Key"].removeprefix("promised/") for page in pages for one in page.get("Contents", [])]

    def keep_promise(self, identifier: str) -> None:
        """Once the result is there. May be repeated."""
        self._s3.delete_object(Bucket=self._bucket, Key=f"promised/{identifier}")

    def _put(self, key: str, document: Mapping[str, Any]) -> None:
        body = json.dumps(document).encode()
        self._s3.put_object(Bucket=self._bucket, Key=key, Body=body, ContentType="application/json")

    def _get(self, key: str) -> Any:
        if not _ID.fullmatch(key.partition("/")[2]):
            return None
        try:
            return json.loads(self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read())
        except self._s3.exceptions.NoSuchKey:
            return None


def _request(found: Mapping[str, Any]) -> Request:
    return Request(found["id"], found["picture"], found["model"])
