# SPDX-License-Identifier: Apache-2.0
"""Repeats the experiments of S2 through the web tier: many pictures at once, from no worker on; and what it never survived.

Each picture is another real photo; every label is held against the one that the model gives in this process.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import splitnet
from common.aws_client import aws_client
from elastic_pool.classifiers import Classifier
from elastic_pool.cloud import BUCKET, QUEUE, Cloud
from elastic_pool.job_store import Result
from elastic_pool.photos import Photo, varied_photos
from elastic_pool.real_run import forget_polls
from elastic_pool.web_client import WebClient
from local_aws.processes import peak_resident_bytes

_POISON_ROWS = 256  #: Pictures in one tensor: little to send, since they are all the same, and far too much to run.
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
    restarts: int  #: Of the queue server.
    refused: int  #: Second results of a picture, which were not kept.
    worker_peak_bytes: int  #: The most that one of them had in memory.
    dead_letters: list[str]  #: Why each request is in the dead-letter queue.
    wrong: list[str] = field(repr=False)  #: What was not as it should be, in words; empty: all is right.


class _Poison:
    """A request that no worker has memory for, from a session of its own."""

    def __init__(self, classifier: Classifier, photo: bytes) -> None:
        self.reasons: list[str] = []  #: What its sender was told.
        self._classifier = classifier
        self._pixels = classifier.pixels(photo)
        self._is_open = threading.Event()
        self._go = threading.Event()
        self._thread = threading.Thread(target=self._run, name="poison")

    def __enter__(self) -> _Poison:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Returns when it has an answer."""
        self._go.set()
        self._thread.join()

    def wait_open(self) -> None:
        self._is_open.wait(_RUN_TIMEOUT_S)

    def send(self) -> None:
        """Once, however often the way there is asked for."""
        self._go.set()

    def _run(self) -> None:
        once = splitnet.SessionOptions(finish_on_device=False, max_retries=0, codec=self._classifier.codec)
        model = splitnet.Partitioner(self._classifier.model_file())
        rows = self._pixels.expand(_POISON_ROWS, *self._pixels.shape[1:])
        until_s = time.monotonic() + _RUN_TIMEOUT_S
        try:
            with splitnet.Session(model, worker=f"sqs://{QUEUE}", cut=splitnet.Cut.at_input(), options=once) as session:
                self._is_open.set()
                self._go.wait()
                while time.monotonic() < until_s:
                    with contextlib.suppress(splitnet.Unavailable):  # There was no way.
                        session(rows)
                        return
                    time.sleep(0.2)
        except splitnet.Error as error:
            self.reasons.append(str(error))
        finally:
            self._is_open.set()  # Also when it could not be opened: nobody waits for that.


class _Troubles:
    """Of one run: workers are killed when numbers of labels are there that are random, any worker that there is then, or
    the next one; all in the first half, so that the last of them is missed. The queue server is restarted when a third of
    the labels are there, and then the poison is sent."""

    def __init__(self, cloud: Cloud, kills: int, pictures: int, poison: _Poison) -> None:
        self.killed: set[int] = set()
        self.restarts = 0
        self._cloud = cloud
        self._kill_at = sorted(random.sample(range(1, max(kills + 1, pictures // 2)), kills))
        self._restart_at = max(1, pictures // 3)
        self._poison = poison

    def come(self, labels: int) -> None:
        """When so many labels are there."""
        if len(self.killed) < len(self._kill_at) and labels >= self._kill_at[len(self.killed)]:
            self._kill_one()
        if labels == self._restart_at:
            self._poison.wait_open()
            self._cloud.queues.restart()
            self.restarts += 1
            self._poison.send()

    def _kill_one(self) -> None:
        """The controller may not have noticed yet that some are dead."""
        if alive := [pid for pid in self._cloud.pool.pids() if pid not in self.killed]:
            pid = random.choice(alive)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                self.killed.add(pid)


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

    def calm(self, pictures: int) -> Run:
        """From no worker on. Raises TimeoutError: workers did not go, or pictures were not answered."""
        return self._run(str(pictures), pictures)

    def troubled(self, pictures: int, kills: int) -> Run:
        """The same, while workers are killed at random, the queue server is lost and comes back empty, and somebody sends a
        request that no worker has memory for. Raises likewise."""
        with _Poison(self._classifier, self._photos[0].file) as poison:
            run = self._run(f"{pictures}, trouble", pictures, _Troubles(self._cloud, kills, pictures, poison))
        letters = self._dead_letters()
        wrong = [*run.wrong]
        if run.killed != kills or run.restarts != 1:
            wrong.append(f"{run.killed} kills and {run.restarts} restarts of the queue, expected {kills} and 1")
        if not any(why and told.endswith(why) for told in poison.reasons for why in letters.values()):
            wrong.append(f"the poison: its sender was told {poison.reasons}, in the dead-letter queue is {letters}")
        return dataclasses.replace(run, wrong=wrong, dead_letters=list(letters.values()))

    def _run(self, name: str, pictures: int, troubles: _Troubles | None = None) -> Run:
        self._wait_until_nobody_works()
        self._say(f"pictures at once: {name}")
        started = self._cloud.pool.now().started
        photos = self._photos[:pictures]
        results: list[Result] = []
        times_s: list[float] = []
        with _peaks(self._cloud.pool.pids) as peaks:
            begun_s = time.monotonic()
            job = self._client.upload((one.name, one.file) for one in photos)
            upload_s = time.monotonic() - begun_s
            for result in self._client.follow(job, _RUN_TIMEOUT_S):
                results.append(result)
                times_s.append(time.monotonic() - begun_s)
                if troubles:
                    troubles.come(len(results))
        return Run(
            name=name,
            pictures=pictures,
            answered=sum(self._is_right(one) for one in results),
            upload_s=upload_s,
            first_s=times_s[0],
            total_s=times_s[-1],
            workers=self._cloud.pool.now().started - started,
            killed=len(troubles.killed) if troubles else 0,
            restarts=troubles.restarts if troubles else 0,
            refused=self._client.refused(job),
            worker_peak_bytes=max(peaks.values(), default=0),
            dead_letters=[],
            wrong=self._wrong(job, photos, results),
        )

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

    def _dead_letters(self) -> dict[str, str]:
        """Reasons by message; they stay there."""
        sqs = aws_client("sqs", self._cloud.environment)
        queue = sqs.get_queue_url(QueueName=f"{QUEUE}-dead")["QueueUrl"]
        found = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, MessageAttributeNames=["All"])
        return {
            one["MessageId"]: one.get("MessageAttributes", {}).get("reason", {}).get("StringValue", "")
            for one in found.get("Messages", [])
        }


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
