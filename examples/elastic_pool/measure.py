# SPDX-License-Identifier: Apache-2.0
"""Repeats the experiments of S2 through the web tier: many pictures at once, from no worker on; and what it never survived.

Each picture is another real photo; every label is held against the one that the model gives in this process.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import splitnet
from elastic_pool.aws_client import aws_client
from elastic_pool.classifiers import Classifier
from elastic_pool.cloud import BUCKET, QUEUE, Cloud
from elastic_pool.job_store import Result
from elastic_pool.photos import Photo, varied_photos
from elastic_pool.real_run import forget_polls
from elastic_pool.web_client import WebClient
from local_aws.processes import peak_resident_bytes

POISON_ROWS = 256  #: Pictures in one tensor: little to send, since they are all the same, and far too much to run.
_RUN_TIMEOUT_S = 900.0
_GONE_TIMEOUT_S = 180.0


@dataclass(frozen=True)
class Run:
    """One experiment."""

    name: str
    pictures: int
    answered: int  #: With the right label.
    upload_s: float  #: Until all pictures were in the bucket and the job was acknowledged.
    first_s: float  #: From the beginning of the upload to the first label.
    total_s: float  #: To the last one.
    workers: int  #: Started for it.
    killed: int
    worker_peak_bytes: int  #: The most that one of them had in memory.
    dead_letters: int
    reason: str  #: Why the poison was put there.
    wrong: list[str] = field(repr=False)  #: What was not as it should be, in words; empty: all is right.


@dataclass(frozen=True)
class Trouble:
    """What happens in a run."""

    kills: int = 0  #: Of workers at random, when a number of labels are there that is random too.
    poison: bool = False
    restart_after: float = 0.0  #: Share of the pictures; then the queue server is restarted. 0: it is not.


class Experiments:
    """On a cloud, with the first `most` of the photos."""

    def __init__(self, cloud: Cloud, classifier: Classifier, most: int, say: Callable[[str], None]) -> None:
        self._cloud = cloud
        self._classifier = classifier
        self._client = WebClient(cloud.web)
        self._say = say
        say("what the model says here, to compare with")
        self._photos = list(varied_photos(most))
        self._expected = self._labels_here()
        self._s3 = aws_client("s3", cloud.environment)
        versioned = {"Status": "Enabled"}  # So that an object that is written twice shows.
        self._s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration=versioned)

    def run(self, pictures: int, name: str = "", trouble: Trouble | None = None) -> Run:
        """From no worker on. Raises TimeoutError: workers did not go, or pictures were not answered."""
        trouble = trouble or Trouble()
        self._wait_until_nobody_works()
        self._say(name or f"{pictures} pictures at once")
        started = self._cloud.pool.now().started
        photos = self._photos[:pictures]
        with (
            _peaks(self._cloud.pool.pids) as peaks,
            self._poisoned(trouble.poison) as reasons,
        ):
            begun_s = time.monotonic()
            job = self._client.upload((one.name, one.file) for one in photos)
            upload_s = time.monotonic() - begun_s
            results, times_s, killed = self._follow(job, pictures, trouble, begun_s)
        wrong = self._wrong(job, photos, results)
        if killed < trouble.kills:
            wrong.append(f"{killed} workers were killed, expected {trouble.kills}")
        if trouble.poison and not (reasons and self._dead_letters()):
            wrong.append(f"the poison: found {reasons}, expected it in the dead-letter queue with a reason")
        return Run(
            name=name or str(pictures),
            pictures=pictures,
            answered=sum(self._is_right(one) for one in results),
            upload_s=upload_s,
            first_s=times_s[0],
            total_s=times_s[-1],
            workers=self._cloud.pool.now().started - started,
            killed=killed,
            worker_peak_bytes=max(peaks.values(), default=0),
            dead_letters=len(self._dead_letters()),
            reason=reasons[0] if reasons else "",
            wrong=wrong,
        )

    def _follow(
        self, job: str, pictures: int, trouble: Trouble, begun_s: float
    ) -> tuple[list[Result], list[float], int]:
        """Results, when each was there, and how many workers were killed."""
        results: list[Result] = []
        times_s: list[float] = []
        killed = 0
        kill_at = sorted(random.sample(range(1, pictures), trouble.kills))
        restart_at = round(pictures * trouble.restart_after)
        for result in self._client.follow(job, _RUN_TIMEOUT_S):
            results.append(result)
            times_s.append(time.monotonic() - begun_s)
            if killed < len(kill_at) and len(results) >= kill_at[killed]:
                killed += self._kill_one()
            if len(results) == restart_at:
                self._say(f"the queue server is restarted after {restart_at} labels")
                self._cloud.queues.restart()
        return results, times_s, killed

    def _kill_one(self) -> bool:
        """Whether there was one."""
        if not (pids := self._cloud.pool.pids()):
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(random.choice(pids), signal.SIGKILL)
            return True
        return False

    def _labels_here(self) -> list[str]:
        model = splitnet.Partitioner(self._classifier.model_file())
        with splitnet.Session(model, threads=1) as session:
            return [self._classifier.label(session(self._classifier.pixels(one.file))).name for one in self._photos]

    def _is_right(self, result: Result) -> bool:
        return result.label == self._expected[result.index]

    def _wrong(self, job: str, photos: Sequence[Photo], results: Sequence[Result]) -> list[str]:
        found = [
            f"{one.picture}: found {one.label or one.error}, expected {self._expected[one.index]}"
            for one in results
            if not self._is_right(one)
        ]
        rows = [[photo.name, label] for photo, label in zip(photos, self._expected, strict=False)]
        if self._client.labels(job)[1:] != rows:
            found.append("the file of labels is not what was answered")
        pages = self._s3.get_paginator("list_object_versions").paginate(
            Bucket=BUCKET, Prefix=f"{job.removeprefix('/')}/results/"
        )
        written = [one["Key"] for page in pages for one in page.get("Versions", [])]
        if len(written) != len(photos) or len(set(written)) != len(photos):
            found.append(f"{len(written)} results were written, expected one for each of {len(photos)} pictures")
        return found

    def _wait_until_nobody_works(self) -> None:
        until_s = time.monotonic() + _GONE_TIMEOUT_S
        while (now := self._cloud.pool.now()).running + now.starting + now.draining:
            if time.monotonic() > until_s:
                raise TimeoutError(f"workers still run {_GONE_TIMEOUT_S:g} s after the last work")
            time.sleep(0.05)
        forget_polls()

    @contextmanager
    def _poisoned(self, wanted: bool) -> Iterator[list[str]]:
        """Meanwhile somebody sends a request that no worker has memory for; gives why it was not answered."""
        reasons: list[str] = []
        thread = threading.Thread(target=self._send_poison, args=(reasons,), name="poison")
        if wanted:
            thread.start()
        try:
            yield reasons
        finally:
            if wanted:
                thread.join()

    def _send_poison(self, reasons: list[str]) -> None:
        pixels = self._classifier.pixels(self._photos[0].file)
        with self._classifier.open_session(f"sqs://{QUEUE}", deadline_s=_RUN_TIMEOUT_S) as session:
            try:
                session(pixels.expand(POISON_ROWS, *pixels.shape[1:]))
            except splitnet.Internal as error:
                reasons.append(str(error))

    def _dead_letters(self) -> list[str]:
        """Message ids; they stay there."""
        sqs = aws_client("sqs", self._cloud.environment)
        queue = sqs.get_queue_url(QueueName=f"{QUEUE}-dead")["QueueUrl"]
        found = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, VisibilityTimeout=0)
        return [one["MessageId"] for one in found.get("Messages", [])]


@contextmanager
def _peaks(pids: Callable[[], Sequence[int]]) -> Iterator[dict[int, int]]:
    """The most that each process has had in memory."""
    peaks: dict[int, int] = {}
    is_over = threading.Event()

    def look() -> None:
        while not is_over.wait(0.2):
            for pid in pids():
                peaks[pid] = max(peaks.get(pid, 0), peak_resident_bytes(pid))

    thread = threading.Thread(target=look, name="peaks")
    thread.start()
    try:
        yield peaks
    finally:
        is_over.set()
        thread.join()
