# SPDX-License-Identifier: Apache-2.0
"""From recorded frames to names, with many frames under way: sending and receiving go on at the same time.

One thread takes frames and has the detector look for faces, one has the descriptor look at what was found, one names
them. `max_in_flight` frames are between the first and the last; further ones wait on the recorder's disk.
"""

from __future__ import annotations

import functools
import itertools
import queue
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field

import torch

import splitnet
from video_faces import faces
from video_faces.faces import Box, Frame
from video_faces.gallery import Gallery, Match
from video_faces.placing import Sessions
from video_faces.recorder import RecordedFrame
from video_faces.records import Record, Records

LATE_S = 2.0  #: A frame that is answered later is marked: what the system that this follows promises.
MAX_IN_FLIGHT = 8


@dataclass(frozen=True)
class SeenFace:
    """One face of a frame."""

    box: Box
    match: Match
    record: Record | None  #: None: it is nobody that is known, or there is no record.

    @property
    def name(self) -> str:
        """For people."""
        return self.match.name or "unknown"


@dataclass(frozen=True)
class SeenFrame:
    """The answer for one frame."""

    number: int  #: In the recording.
    picture: bytes  #: JPEG.
    faces: list[SeenFace]  #: Best first.
    latency_s: float  #: From when the frame's chunk could be sent until all its faces had names: the round trip.
    age_s: float  #: The same from when the frame was recorded: up to half a second more.
    finished_here: int  #: Of its passes, how many this device finished, as planned or since no worker answered.
    finished_by_workers: int  #: The others.
    error: str = ""  #: Why there is no answer; empty: there is one.

    @property
    def is_late(self) -> bool:
        return self.latency_s > LATE_S


@dataclass
class _UnderWay:
    """A frame between two threads."""

    frame: RecordedFrame
    pixels: Frame
    head: torch.Tensor | None = None
    boxes: list[Box] = field(default_factory=list)
    descriptors: dict[int, torch.Tensor] = field(default_factory=dict)
    missing: int = 0
    finished_here: int = 0
    finished_by_workers: int = 0
    error: str = ""


class Pipeline:
    """Runs once. `show` gets each frame when it is answered, in the order of the answers, on one thread of this."""

    def __init__(
        self,
        sessions: Sessions,
        gallery: Gallery,
        records: Records,
        show: Callable[[SeenFrame], None],
        max_in_flight: int = MAX_IN_FLIGHT,
    ) -> None:
        self._sessions = sessions
        self._gallery = gallery
        self._records = records
        self._show = show
        self._places = threading.Semaphore(max_in_flight)
        self._max_in_flight = max_in_flight
        self._detected: queue.SimpleQueue[_UnderWay | None] = queue.SimpleQueue()
        self._described: queue.SimpleQueue[_UnderWay | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._failure: Exception | None = None  #: Of `show`.
        self._source_failure: Exception | None = None

    def run(self, chunks: Iterable[list[RecordedFrame]]) -> None:
        """Returns when every frame of every chunk has been shown, an error too: none is left out. Raises what `chunks`
        raises, after those before it, and what `show` raises. What a signal raises here ends it: frames under way are
        still shown, and no more are taken."""
        # Signals are heard by the main thread, which only waits: an exception of theirs can't come between two steps.
        feeder = threading.Thread(target=self._feed, args=(chunks,), daemon=True)
        others = [threading.Thread(target=one, daemon=True) for one in (self._describe, self._name)]
        for thread in (feeder, *others):
            thread.start()
        try:
            feeder.join()
        finally:
            self._stopped.set()
            for thread in (feeder, *others):
                thread.join()
        failure = self._failure or self._source_failure
        if failure is not None:
            raise failure

    def _feed(self, chunks: Iterable[list[RecordedFrame]]) -> None:
        try:
            for frame in itertools.chain.from_iterable(chunks):
                if self._stopped.is_set() or self._failure is not None:
                    break
                self._places.acquire()
                try:
                    self._detect(frame)
                except BaseException:
                    self._places.release()
                    raise
        except Exception as error:
            self._source_failure = error
        finally:
            for _ in range(self._max_in_flight):  # All have come back.
                self._places.acquire()
            self._detected.put(None)
            self._described.put(None)

    def _detect(self, frame: RecordedFrame) -> None:
        one = _UnderWay(frame, frame.pixels())
        future = self._sessions.detector.submit(faces.detector_input(one.pixels))
        future.add_done_callback(functools.partial(self._on_head, one))

    def _on_head(self, one: _UnderWay, done: Future[splitnet.Answer]) -> None:
        answer = self._answer_of(one, done)
        one.head = None if answer is None else answer.output
        (self._described if answer is None else self._detected).put(one)

    def _describe(self) -> None:
        while (one := self._detected.get()) is not None:
            try:
                inputs = self._faces_of(one)
            except Exception as error:  # Its place must come back, whatever a worker answered.
                one.boxes, one.error = [], _words(error)
                inputs = []
            one.missing = len(inputs)
            if not inputs:
                self._described.put(one)
            for at, pixels in enumerate(inputs):
                future = self._sessions.descriptor.submit(pixels)
                future.add_done_callback(functools.partial(self._on_descriptor, one, at))

    def _faces_of(self, one: _UnderWay) -> list[torch.Tensor]:
        """What the descriptor takes, for each box."""
        assert one.head is not None
        height, width = one.pixels.shape[:2]
        one.boxes = faces.boxes_in(one.head, width, height)
        return [faces.face_input(one.pixels, box) for box in one.boxes]

    def _on_descriptor(self, one: _UnderWay, at: int, done: Future[splitnet.Answer]) -> None:
        with self._lock:
            answer = self._answer_of(one, done)
            if answer is not None:
                one.descriptors[at] = answer.output
            one.missing -= 1
            is_whole = one.missing == 0
        if is_whole:
            self._described.put(one)

    def _answer_of(self, one: _UnderWay, done: Future[splitnet.Answer]) -> splitnet.Answer | None:
        try:
            answer = done.result()
        except Exception as error:
            one.error = _words(error)
            return None
        one.finished_here += not answer.answered_by
        one.finished_by_workers += bool(answer.answered_by)
        return answer

    def _name(self) -> None:
        while (one := self._described.get()) is not None:
            try:
                seen = self._seen(one)
                if self._failure is None:
                    self._show(seen)
            except Exception as error:
                self._failure = error
            finally:
                self._places.release()

    def _seen(self, one: _UnderWay) -> SeenFrame:
        found = []
        error = one.error
        for at, descriptor in sorted(one.descriptors.items()):
            match = self._gallery.nearest(descriptor)
            record = None
            try:
                record = self._records.find(match.name) if match.name else None
            except Exception as failed:  # Whatever boto3 raises: the name is known all the same.
                error = f"no record: {failed}"
            found.append(SeenFace(one.boxes[at], match, record))
        now_s = time.monotonic()
        return SeenFrame(
            number=one.frame.number,
            picture=one.frame.picture,
            faces=found,
            latency_s=now_s - one.frame.ready_s,
            age_s=now_s - one.frame.recorded_s,
            finished_here=one.finished_here,
            finished_by_workers=one.finished_by_workers,
            error=error,
        )


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
