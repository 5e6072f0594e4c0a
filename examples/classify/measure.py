# SPDX-License-Identifier: Apache-2.0
"""Repeats the experiments of the system that this example follows: many requests at once, workers that start from nothing.

Each request names another real photo; every label is held against the one that the model gives in this process.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import splitnet
from classify.asking import Question, Reply, ask_all, stored_labels
from classify.pools import Pools
from elastic_pool.classifiers import Classifier, Label, classifier
from elastic_pool.history import Sample
from elastic_pool.photos import varied_photos
from elastic_pool.real_run import forget_polls

MODEL = "mobilenet_v2"
MODELS = (MODEL, "efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")
_KILL_EVERY_S = 2.0
_MOST_KILLS = 5  #: Of workers in one run.
_PATIENCE_S = 120.0
_WARMING = 8  #: Requests before a run that is to find workers.


@dataclass(frozen=True)
class Run:
    """One experiment."""

    name: str
    replies: list[Reply] = field(repr=False)
    right: int  #: Of the replies: with the label, and how sure the model is, that it gives here.
    wrong: list[str]  #: What was not as it should be, in words; empty: all is right.
    wall_s: float
    workers: int  #: Started for it.
    killed: int

    @property
    def answered(self) -> int:
        """With a label."""
        return sum(reply.status == 200 for reply in self.replies)

    @property
    def latencies_s(self) -> list[float]:
        """Of those that were answered, shortest first."""
        return sorted(reply.latency_s for reply in self.replies if reply.status == 200)

    def latency_s(self, share: float) -> float:
        """So many of the answers were there by then; NaN: there are none."""
        found = self.latencies_s
        return found[min(len(found) - 1, int(share * len(found)))] if found else float("nan")

    @property
    def mean_s(self) -> float:
        """NaN: none was answered."""
        return statistics.fmean(self.latencies_s) if self.latencies_s else float("nan")


class Experiments:
    """On a service, the pools behind it, and a server of photos which both are on this machine."""

    def __init__(self, server: str, photos: str, pools: Pools, few: int, many: int, say: Callable[[str], None]) -> None:
        """`few` and `many` requests at once."""
        self._server = server
        self._photos = photos
        self._pools = pools
        self._say = say
        self._few = few
        self._many = many
        self._names = [photo.name for photo in varied_photos(max(few, many))]
        self._expected: dict[str, list[Label]] = {}

    def run_all(self) -> list[Run]:
        """Raises TimeoutError: workers did not go, or a pool has failed."""
        self._say("what the models say here, to compare with")
        few, many = self._few, self._many
        self._expected = {
            model: local_labels(classifier(model), max(few, many) if model == MODEL else few) for model in MODELS
        }
        return [
            self._cold(f"{few} at once, no worker runs", self._questions(few)),
            self._warm(f"{few} at once, warm", self._questions(few)),
            self._cold(f"{few} at once, four models, no worker runs", self._questions(few, MODELS)),
            self._warm(f"{many} at once, warm", self._questions(many)),
            self._cold(f"{many} at once, no worker runs, workers killed", self._questions(many), kills=_MOST_KILLS),
        ]

    def _questions(self, count: int, models: Sequence[str] = (MODEL,)) -> list[Question]:
        names = self._names[:count]
        return [Question(f"{self._photos}/{name}", models[at % len(models)]) for at, name in enumerate(names)]

    def _cold(self, name: str, questions: Sequence[Question], kills: int = 0) -> Run:
        _until(lambda: not any(_workers(pool.now()) for pool in self._pools.values()), "workers without work still run")
        forget_polls()
        return self._run(name, questions, kills)

    def _warm(self, name: str, questions: Sequence[Question]) -> Run:
        ask_all(self._server, questions[:_WARMING])
        return self._run(name, questions)

    def _run(self, name: str, questions: Sequence[Question], kills: int = 0) -> Run:
        self._say(name)
        started = self._started()
        begun_s = time.monotonic()
        with self._killing(kills) as killed:
            replies = ask_all(self._server, questions)
        wall_s = time.monotonic() - begun_s
        right, wrong = self._judged(questions, replies)
        if kills and not killed:
            wrong.append("no worker was killed")
        return Run(name, replies, right, wrong, wall_s, self._started() - started, len(killed))

    def _started(self) -> int:
        """Workers so far, as the next look of each pool has it."""
        seen = {name: pool.now().time_s for name, pool in self._pools.items()}
        _until(
            lambda: all(pool.now().time_s > seen[name] for name, pool in self._pools.items()),
            "a pool does not look at its queue any more",
        )
        return sum(pool.now().started for pool in self._pools.values())

    def _judged(self, questions: Sequence[Question], replies: Sequence[Reply]) -> tuple[int, list[str]]:
        """How many are right, and what is wrong."""
        at = {f"{self._photos}/{name}": index for index, name in enumerate(self._names)}
        right, wrong = 0, []
        for question, reply, kept in zip(questions, replies, stored_labels(self._server, replies), strict=True):
            label = self._expected[question.model][at[question.url]]
            expected = (200, label.name, round(label.probability, 4))
            if (reply.status, reply.label, reply.probability) == expected:
                right += 1
            else:
                wrong.append(f"{question.url}, {question.model}: found {reply}, expected {expected}")
            if kept != reply.label:
                wrong.append(f"{question.url}: {kept!r} is stored, and {reply.label!r} was answered")
        if len({reply.id for reply in replies}) != len(replies):
            wrong.append("found one number for two requests")
        return right, wrong

    @contextmanager
    def _killing(self, most: int) -> Iterator[list[int]]:
        """Meanwhile kills workers at random, the first one when it takes requests; gives the list of those it has killed."""
        killed: list[int] = []
        is_over = threading.Event()

        def kill() -> None:
            next_s = 0.0
            while len(killed) < most and not is_over.wait(0.05):
                pids = [pid for pool in self._pools.values() for pid in pool.pids()]
                if pids and time.monotonic() >= next_s:
                    next_s = time.monotonic() + _KILL_EVERY_S
                    pid = random.choice(pids)
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                        killed.append(pid)

        thread = threading.Thread(target=kill)
        thread.start()
        try:
            yield killed
        finally:
            is_over.set()
            thread.join()


def local_labels(model: Classifier, count: int) -> list[Label]:
    """Of the first photos, by this process alone, with as many threads as the workers use."""
    with splitnet.Session(splitnet.Partitioner(model.model_file()), threads=1) as session:
        return [model.label(session(model.pixels(photo.file))) for photo in varied_photos(count)]


def _workers(sample: Sample) -> int:
    return sample.running + sample.starting + sample.draining


def _until(is_so: Callable[[], bool], otherwise: str) -> None:
    until_s = time.monotonic() + _PATIENCE_S
    while not is_so():
        if time.monotonic() > until_s:
            raise TimeoutError(f"{otherwise} after {_PATIENCE_S:g} s")
        time.sleep(0.02)
