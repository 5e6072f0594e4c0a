# SPDX-License-Identifier: Apache-2.0
"""What is known of a person, in DynamoDB: table with the key `name`, items with `major` and `year`."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any

KEY = "name"
CACHED_S = 300.0  #: How long an answer is good, also the one that there is no record.
FAILED_S = 5.0  #: How long after a failure DynamoDB is not asked again.


@dataclass(frozen=True)
class Record:
    """Of a person."""

    name: str
    major: str
    year: str

    def text(self) -> str:
        """As the live list shows it."""
        return f"{self.major}, {self.year}"


class Records:
    """A table of DynamoDB, with a cache in front. Thread-safe."""

    def __init__(self, client: Any, table: str, cached_s: float = CACHED_S) -> None:
        """`client`: boto3's for dynamodb."""
        self.reads = 0  #: Records asked of DynamoDB so far.
        self._client = client
        self._table = table
        self._cached_s = cached_s
        self._cache: dict[str, tuple[float, Record | None]] = {}
        self._failure: tuple[float, Exception] | None = None  #: The last one, and when it was.
        self._lock = threading.Lock()

    def put(self, record: Record) -> None:
        """Raises botocore's errors, as `find`."""
        item = {KEY: {"S": record.name}, "major": {"S": record.major}, "year": {"S": record.year}}
        self._client.put_item(TableName=self._table, Item=item)
        with self._lock:
            self._cache.pop(record.name, None)

    def find(self, name: str) -> Record | None:
        """None: there is no record of this name, or it lacks what a record has. Raises botocore's errors: a failure at once
        again, for whatever name, until FAILED_S are over, or each face would wait for a DynamoDB that doesn't answer."""
        now_s = time.monotonic()
        with self._lock:
            asked_s, record = self._cache.get(name, (-self._cached_s, None))
            if now_s - asked_s < self._cached_s:
                return record
            if self._failure is not None and now_s - self._failure[0] < FAILED_S:
                raise self._failure[1].with_traceback(None)  # Or it would grow with each time.
            self.reads += 1
        try:
            answer = self._client.get_item(TableName=self._table, Key={KEY: {"S": name}})
        except Exception as error:
            with self._lock:
                self._failure = (time.monotonic(), error)
            raise
        record = _record_of(name, answer.get("Item", {}))
        with self._lock:
            self._cache[name] = (now_s, record)
        return record


def _record_of(name: str, item: dict[str, Any]) -> Record | None:
    major, year = (item.get(field, {}).get("S") for field in ("major", "year"))
    return None if major is None or year is None else Record(name, major, year)
