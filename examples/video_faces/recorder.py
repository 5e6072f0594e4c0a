# SPDX-License-Identifier: Apache-2.0
"""Records in chunks of half a second, and goes on while what it has recorded is sent.

What waits to be sent lies on disk, as on the small devices that this follows: memory stays bounded, and a slow link costs
latency, not frames.
"""

from __future__ import annotations

import queue
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy

from video_faces.faces import Frame
from video_faces.video import Video, paced

CHUNK_S = 0.5
JPEG_QUALITY = 95  #: Of frames on disk.
MAX_WAITING_BYTES = 2**30  #: On disk; a recorder that would need more ends.


@dataclass(frozen=True)
class RecordedFrame:
    """One frame that is to be looked at."""

    number: int  #: In the recording, from 0, every frame counted.
    recorded_s: float  #: time.monotonic() when it was there.
    ready_s: float  #: And when its chunk was: from then on it could be sent.
    picture: bytes  #: JPEG.

    def pixels(self) -> Frame:
        """Decoded."""
        found = cv2.imdecode(numpy.frombuffer(self.picture, numpy.uint8), cv2.IMREAD_COLOR)
        assert found is not None  # The recorder has encoded it.
        return numpy.asarray(cv2.cvtColor(found, cv2.COLOR_BGR2RGB), numpy.uint8)


@dataclass(frozen=True)
class _Chunk:
    path: Path  #: The pictures, one behind the other.
    size_bytes: int
    numbers: list[int]
    recorded_s: list[float]
    sizes: list[int]  #: Bytes of each picture.
    ready_s: float


class Recorder:
    """A thread of its own from `start` on; `chunks` is for one other thread. Close it, or use it in a `with`."""

    def __init__(
        self,
        video: Video,
        *,
        frames_per_chunk: int = 0,
        in_real_time: bool = True,
        max_waiting_bytes: int = MAX_WAITING_BYTES,
        folder: Path | None = None,
    ) -> None:
        """`frames_per_chunk` of each chunk are kept, evenly spread; 0: all. A file is read `in_real_time`, or as fast as
        it can be; cameras have their own time."""
        self.recorded = 0  #: Frames so far.
        self.kept = 0  #: Of these, what is to be looked at.
        self.longest_gap_s = 0.0  #: Between two frames, while it recorded: whether it was held up.
        self.most_waiting_bytes = 0
        self._video = video
        self._per_chunk = frames_per_chunk
        self._real_time = in_real_time and not video.is_camera
        self._max_waiting_bytes = max_waiting_bytes
        self._folder = Path(tempfile.mkdtemp(prefix="video-faces-", dir=folder))
        self._waiting: queue.SimpleQueue[_Chunk | None] = queue.SimpleQueue()
        self._waiting_bytes = 0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._record, name="recorder", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def chunks(self) -> Iterator[list[RecordedFrame]]:
        """In their order, each removed from disk when it is given; ends with the recording. Raises what ended it:
        VideoError, OSError (the disk, or more than `max_waiting_bytes`)."""
        while (chunk := self._waiting.get()) is not None:
            frames = _frames_of(chunk)
            chunk.path.unlink()
            with self._lock:
                self._waiting_bytes -= chunk.size_bytes
            yield frames
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Ends the recording with the frame that it is at; what it has recorded can still be taken. Any thread."""
        self._stop.set()

    def close(self) -> None:
        """Stops, and removes what was not taken. Idempotent."""
        self.stop()
        if self._thread.is_alive():
            self._thread.join()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Recorder:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _record(self) -> None:
        try:
            frames = self._video.frames()
            self._record_from(paced(frames, self._video.frame_rate) if self._real_time else frames)
        except Exception as error:  # It is for who takes the chunks.
            self._error = error
        finally:
            self._waiting.put(None)

    def _record_from(self, frames: Iterator[Frame]) -> None:
        size = max(1, round(self._video.frame_rate * CHUNK_S))
        chunk: list[tuple[int, float, Frame]] = []
        before_s = None
        for frame in frames:
            now_s = time.monotonic()
            if before_s is not None:
                self.longest_gap_s = max(self.longest_gap_s, now_s - before_s)
            before_s = now_s
            chunk.append((self.recorded, now_s, frame))
            self.recorded += 1
            if len(chunk) == size:
                self._put(chunk)
                chunk = []
            if self._stop.is_set():
                break
        if chunk:
            self._put(chunk)

    def _put(self, chunk: list[tuple[int, float, Frame]]) -> None:
        kept = [chunk[at] for at in spread(len(chunk), self._per_chunk or len(chunk))]
        pictures = [_encoded(frame) for _, _, frame in kept]
        size = sum(len(picture) for picture in pictures)
        with self._lock:
            self._waiting_bytes += size
            self.most_waiting_bytes = max(self.most_waiting_bytes, self._waiting_bytes)
            if self._waiting_bytes > self._max_waiting_bytes:
                raise OSError(
                    f"{self._waiting_bytes} bytes wait to be sent, expected at most {self._max_waiting_bytes}: the link "
                    "or the workers are too slow for this video"
                )
        path = self._folder / f"{kept[0][0]:09}.jpegs"
        path.write_bytes(b"".join(pictures))
        self.kept += len(kept)
        self._waiting.put(
            _Chunk(
                path=path,
                size_bytes=size,
                numbers=[number for number, _, _ in kept],
                recorded_s=[recorded_s for _, recorded_s, _ in kept],
                sizes=[len(picture) for picture in pictures],
                ready_s=time.monotonic(),
            )
        )


def spread(count: int, wanted: int) -> list[int]:
    """Which of `count` things, so that `wanted` of them (or all, if there are fewer) are evenly apart."""
    if wanted >= count:
        return list(range(count))
    return [(2 * at + 1) * count // (2 * wanted) for at in range(wanted)]


def _encoded(frame: Frame) -> bytes:
    done, picture = cv2.imencode(
        ".jpg", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    )
    if not done:
        raise OSError(f"a frame of {frame.shape[1]}x{frame.shape[0]} pixels can't be encoded as JPEG")
    return picture.tobytes()


def _frames_of(chunk: _Chunk) -> list[RecordedFrame]:
    data, begin, frames = chunk.path.read_bytes(), 0, []
    for number, recorded_s, size in zip(chunk.numbers, chunk.recorded_s, chunk.sizes, strict=True):
        frames.append(RecordedFrame(number, recorded_s, chunk.ready_s, data[begin : begin + size]))
        begin += size
    return frames
