# SPDX-License-Identifier: Apache-2.0
"""Real requests to real workers behind a queue: photos, at given times, and when each was answered."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

import splitnet
from elastic_pool.classifiers import MODELS, Classifier
from elastic_pool.controller import Controller
from elastic_pool.photos import varied_photos
from elastic_pool.simulation import Outcome
from elastic_pool.work_queue import SqsQueue
from elastic_pool.worker_process import MOTO_ARGUMENTS, MOTO_POLL_S, WorkerCommand, WorkerProcess, end_all

DEADLINE_S = 600.0
#: Of workers: one thread, so that as many as there are cores don't disturb each other; the stage is cut before it begins.
WORKER_ARGUMENTS = ("--threads", "1", "--cut", "input", *MOTO_ARGUMENTS)
_PHOTOS = 24
_END_TIMEOUT_S = 40.0
_START_TIMEOUT_S = 60.0


class RunError(Exception):
    """A run that shows nothing: requests without an answer."""


def forget_polls() -> None:
    """Waits until no poll of a worker that has ended can take a message."""
    time.sleep(MOTO_POLL_S + 0.5)


def photo_tensors(classifier: Classifier) -> list[torch.Tensor]:
    """Some real photos, ready for the network."""
    return [classifier.pixels(photo.file) for photo in varied_photos(_PHOTOS)]


@contextmanager
def queue_session(
    classifier: Classifier, queue: str, environment: Mapping[str, str], folder: Path = MODELS
) -> Iterator[splitnet.Session]:
    """Over sqs://, of a queue that is made and that no worker is behind: the one that it was opened with has ended.

    The AWS of `environment` has to be that of this process too, for the session looks there. Raises RuntimeError, TimeoutError
    (the worker did not start), QueueError, splitnet.Error.
    """
    SqsQueue(queue, environment).prepare()
    command = WorkerCommand([classifier.model_file(folder)], f"sqs://{queue}", WORKER_ARGUMENTS, environment)
    worker = WorkerProcess(command, 1)
    try:
        worker.wait_ready(_START_TIMEOUT_S)
        session = classifier.open_session(f"sqs://{queue}", deadline_s=DEADLINE_S, max_in_flight=100_000, folder=folder)
    finally:
        end_all([worker], _END_TIMEOUT_S)
    forget_polls()
    with session:
        yield session


def send(
    session: splitnet.Session, photos: Sequence[torch.Tensor], arrivals_s: Sequence[float]
) -> list[tuple[float, float]]:
    """At those times from now, whatever the answers do. (arrived_s, latency_s) of each, in the order of answers.

    Raises RunError: one has none.
    """
    begun_s = time.monotonic()
    answered: list[tuple[float, float]] = []
    failed: list[str] = []
    told = threading.Semaphore(0)

    def tell(future: splitnet.Future, sent_s: float) -> None:
        now_s = time.monotonic()
        if error := future.exception():
            failed.append(str(error))
        else:
            answered.append((sent_s - begun_s, now_s - sent_s))
        told.release()

    for arrival_s, photo in zip(arrivals_s, itertools.cycle(photos), strict=False):
        time.sleep(max(0.0, begun_s + arrival_s - time.monotonic()))
        sent_s = time.monotonic()
        session.submit(photo).add_done_callback(lambda future, sent_s=sent_s: tell(future, sent_s))  # type: ignore[misc]
    for _ in arrivals_s:
        told.acquire()
    if failed:
        raise RunError(f"{len(failed)} of {len(arrivals_s)} requests have no answer; the first: {failed[0]}")
    return answered


def run(
    pool: Controller,
    session: splitnet.Session,
    photos: Sequence[torch.Tensor],
    arrivals_s: Sequence[float],
    until_s: float,
) -> Outcome:
    """From a pool's start until then at least, and until all are answered. Ends the pool."""
    with pool:
        begun_s = time.monotonic()
        requests = send(session, photos, arrivals_s)
        time.sleep(max(0.0, begun_s + until_s - time.monotonic()))
    forget_polls()
    return Outcome(pool.history.samples(), requests)
