# SPDX-License-Identifier: Apache-2.0
"""The queue before the workers, and how much waits in it: SQS, or whatever else counts messages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from botocore.exceptions import ClientError  # type: ignore[import-untyped]

from common.aws_client import AWS_ERRORS, aws_client

_GONE = {"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"}
_NO_ANSWER: tuple[type[Exception], ...] = (
    *AWS_ERRORS,
    AttributeError,
    KeyError,
    TypeError,
    ValueError,
)  #: Also what is raised at an answer of another form: of a proxy, of another server.
_TIMEOUT_S = 5


@dataclass(frozen=True)
class QueueCounts:
    """Of messages, as approximate as SQS has them."""

    waiting: int
    in_flight: int


class QueueError(Exception):
    """Nobody could say how much waits; says why."""


class WorkQueue(Protocol):
    """Asked by one thread at a time."""

    def prepare(self) -> None:
        """Has what is asked be there. Raises QueueError."""

    def counts(self) -> QueueCounts:
        """Raises QueueError."""


class SqsQueue:
    """A work queue and its dead-letter queue, which are made where they are not there: also those of a service that has
    come back without its memory."""

    def __init__(self, queue: str, environment: Mapping[str, str] | None = None) -> None:
        """The environment (region, endpoint, credentials) counts beside that of this process."""
        self.queue = queue
        self._dead_letter_queue = f"{queue}-dead"  # As the workers have it.
        self._client = aws_client("sqs", environment, timeout_s=_TIMEOUT_S)
        self._url = ""

    def prepare(self) -> None:
        try:
            for name in (self._dead_letter_queue, self.queue):
                self._url = self._client.create_queue(QueueName=name)["QueueUrl"]
        except _NO_ANSWER as error:
            self._url = ""
            raise self._trouble(error) from error

    def counts(self) -> QueueCounts:
        """Looks for the dead-letter queue too, which nothing else would miss before it is needed."""
        if not self._url:
            self.prepare()
        try:
            self._client.get_queue_url(QueueName=self._dead_letter_queue)
            return self._counts()
        except _NO_ANSWER as error:
            if not _is_gone(error):
                raise self._trouble(error) from error
            self.prepare()
            return QueueCounts(0, 0)

    def _trouble(self, error: Exception) -> QueueError:
        words = str(error) if isinstance(error, AWS_ERRORS) else f"found an answer that is none of SQS: {error!r}"
        return QueueError(f"queue {self.queue}: {words}")

    def _counts(self) -> QueueCounts:
        names = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
        found = self._client.get_queue_attributes(QueueUrl=self._url, AttributeNames=list(names))["Attributes"]
        waiting, in_flight = (int(found[name]) for name in names)
        if min(waiting, in_flight) < 0:
            raise ValueError(f"{waiting} messages wait and {in_flight} are in flight, expected no number below 0")
        return QueueCounts(waiting, in_flight)


def _is_gone(error: Exception) -> bool:
    return isinstance(error, ClientError) and error.response.get("Error", {}).get("Code") in _GONE
