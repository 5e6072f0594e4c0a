# SPDX-License-Identifier: Apache-2.0
"""Jobs in a bucket of S3: the pictures of an upload, and what became of each.

    jobs/JOB/inputs/INDEX      a picture's file, as it was uploaded
    jobs/JOB/pictures.json     the list of pictures; there before the upload is acknowledged
    open/JOB                   empty: the job has pictures without a result
    jobs/JOB/results/INDEX     a result, written once: whoever comes second changes nothing
    jobs/JOB/results.json      all of them, when the last one is there
    jobs/JOB/labels.csv        the same as a file for people

So a web tier that starts finds what another one has left under `open/`. What an upload that was broken off has left
in `inputs/` belongs to no list; a lifecycle rule of the bucket may remove it.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from botocore.exceptions import ClientError  # type: ignore[import-untyped]

from common.aws_client import AWS_ERRORS, aws_client
from elastic_pool.labels import labels_file

#: What the store raises when S3 can't be reached or refuses.
STORE_ERRORS = AWS_ERRORS

#: Requests to S3 at once.
CONNECTIONS = 8

_MOST_DELETED = 1000  #: By one request, as S3 has it.


class NoSuchJob(KeyError):
    """There is no job of that number."""


class NoSuchInput(LookupError):
    """Somebody has removed a picture's file."""


@dataclass(frozen=True)
class Picture:
    """One of an upload."""

    name: str  #: To be shown; never a path.
    refused: str = ""  #: Why it was not kept; empty: its file is in the bucket.


@dataclass(frozen=True)
class Result:
    """What became of a picture: a label, or an error in words."""

    index: int
    picture: str
    label: str = ""
    probability: float = 0.0
    error: str = ""
    answered_s: float = 0.0  #: Since the upload was acknowledged.

    @property
    def row(self) -> tuple[str, str]:
        """Of the file `picture, label`."""
        return self.picture, self.label or f"error: {self.error}"


@dataclass(frozen=True)
class JobList:
    """What is acknowledged."""

    id: str
    accepted_s: float  #: Unix time.
    pictures: tuple[Picture, ...]


def new_job_id() -> str:
    """Nobody can guess it: who knows it may see the pictures."""
    return secrets.token_urlsafe(16)


class JobStore:
    """In one bucket. Credentials, region and endpoint are those of the standard environment. Thread-safe; every method
    waits for S3, and raises STORE_ERRORS."""

    def __init__(self, bucket: str) -> None:
        self._bucket = bucket
        self._s3 = aws_client("s3", attempts=5, connections=2 * CONNECTIONS)

    def put_input(self, job: str, index: int, data: bytes) -> None:
        self._put(_input_key(job, index), data, "application/octet-stream")

    def input(self, job: str, index: int) -> bytes:
        """Raises NoSuchInput."""
        try:
            return self._get(_input_key(job, index))
        except self._s3.exceptions.NoSuchKey:
            raise NoSuchInput("its file is not in the bucket any more") from None

    def remove_inputs(self, job: str, indices: Iterable[int]) -> None:
        """Of an upload that came to nothing."""
        keys = [{"Key": _input_key(job, index)} for index in indices]
        for first in range(0, len(keys), _MOST_DELETED):
            some = keys[first : first + _MOST_DELETED]
            self._s3.delete_objects(Bucket=self._bucket, Delete={"Objects": some, "Quiet": True})

    def put_list(self, jobs: JobList) -> None:
        """Once this returns, the job will be done, whoever dies. Its inputs have to be there."""
        document = {"accepted_s": jobs.accepted_s, "pictures": [asdict(one) for one in jobs.pictures]}
        self._put(f"jobs/{jobs.id}/pictures.json", _json(document), "application/json")
        self._put(f"open/{jobs.id}", b"", "application/octet-stream")

    def accepted(self, job: str) -> JobList:
        """Raises NoSuchJob."""
        try:
            found = json.loads(self._get(f"jobs/{job}/pictures.json"))
        except self._s3.exceptions.NoSuchKey:
            raise NoSuchJob(job) from None
        return JobList(job, found["accepted_s"], tuple(Picture(**one) for one in found["pictures"]))

    def open_jobs(self) -> list[str]:
        """Those that are not done."""
        return [key.removeprefix("open/") for key in self._keys("open/")]

    def put_result(self, job: str, result: Result) -> Result:
        """The one that is kept: `result` itself, or what was there before."""
        key = _result_key(job, result.index)
        try:
            self._put(key, _json(asdict(result)), "application/json", IfNoneMatch="*")
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != 412:
                raise
            return Result(**json.loads(self._get(key)))
        return result

    def results(self, job: str) -> Sequence[Result]:
        """Those that are there, in the pictures' order."""
        try:
            return _results(self._get(f"jobs/{job}/results.json"))
        except self._s3.exceptions.NoSuchKey:
            pass
        keys = self._keys(f"jobs/{job}/results/")
        with ThreadPoolExecutor(CONNECTIONS) as threads:
            return [Result(**json.loads(data)) for data in threads.map(self._get, keys)]

    def finish(self, job: str, results: Sequence[Result]) -> None:
        """Of a job of which every picture has its result, in order. May be repeated."""
        self._put(f"jobs/{job}/labels.csv", labels_file(one.row for one in results), "text/csv; charset=utf-8")
        self._put(f"jobs/{job}/results.json", _json([asdict(one) for one in results]), "application/json")
        self._s3.delete_object(Bucket=self._bucket, Key=f"open/{job}")

    def _put(self, key: str, body: bytes, content_type: str, **conditions: str) -> None:
        self._s3.put_object(Bucket=self._bucket, Key=key, Body=body, ContentType=content_type, **conditions)

    def _get(self, key: str) -> bytes:
        data: bytes = self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        return data

    def _keys(self, prefix: str) -> list[str]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
        return [one["Key"] for page in pages for one in page.get("Contents", [])]


def _input_key(job: str, index: int) -> str:
    return f"jobs/{job}/inputs/{index:05}"


def _result_key(job: str, index: int) -> str:
    return f"jobs/{job}/results/{index:05}"


def _results(data: bytes) -> list[Result]:
    found: list[Mapping[str, Any]] = json.loads(data)
    return [Result(**one) for one in found]


def _json(value: object) -> bytes:
    return json.dumps(value).encode()
