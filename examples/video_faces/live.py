# SPDX-License-Identifier: Apache-2.0
"""What was seen so far, for the terminal and for the page."""

from __future__ import annotations

import collections
import math
import statistics
import threading
from dataclasses import dataclass
from typing import Any

from video_faces.pipeline import SeenFrame

KEPT_FRAMES = 200  #: For the page; their pictures too.


@dataclass(frozen=True)
class Latencies:
    """Of frames, in seconds."""

    mean_s: float
    p50_s: float
    p95_s: float
    max_s: float

    @staticmethod
    def of(values: list[float]) -> Latencies:
        """Raises ValueError: there are none."""
        if not values:
            raise ValueError("found no frames, expected at least one")
        ordered = sorted(values)
        p95 = ordered[min(len(ordered) - 1, round(0.95 * (len(ordered) - 1)))]
        return Latencies(statistics.fmean(ordered), statistics.median(ordered), p95, ordered[-1])


class Live:
    """Thread-safe."""

    def __init__(self, where: str) -> None:
        """`where`: what runs where, for a person."""
        self.where = where
        self._lock = threading.Lock()
        self._frames: collections.deque[SeenFrame] = collections.deque(maxlen=KEPT_FRAMES)
        self._seen = self._late = self._failed = 0
        self._latency_sum_s = 0.0

    def add(self, seen: SeenFrame) -> None:
        with self._lock:
            self._frames.append(seen)
            self._seen += 1
            self._late += seen.is_late
            self._failed += bool(seen.error)
            self._latency_sum_s += seen.latency_s

    def picture(self, number: int) -> bytes | None:
        """JPEG of a frame; None: it is not kept (any more)."""
        with self._lock:
            return next((one.picture for one in self._frames if one.number == number), None)

    def state(self) -> dict[str, Any]:
        """What the page shows: counts, and the kept frames, newest first."""
        with self._lock:
            mean_s = self._latency_sum_s / self._seen if self._seen else None
            return {
                "where": self.where,
                "seen": self._seen,
                "late": self._late,
                "failed": self._failed,
                "mean_latency_s": mean_s,
                "frames": [_document(one) for one in reversed(self._frames)],
            }


def line(seen: SeenFrame) -> str:
    """A frame, for the terminal."""
    if seen.faces:
        who = "; ".join(
            f"{face.name} ({face.match.distance:.2f}){f', {face.record.text()}' if face.record else ''}"
            for face in seen.faces
        )
    else:
        who = "nobody"
    marks = (" LATE" if seen.is_late else "") + (f" {seen.error}" if seen.error else "")
    return f"frame {seen.number:6} {seen.latency_s * 1000:6.0f} ms  {who}{marks}"


def _document(seen: SeenFrame) -> dict[str, Any]:
    return {
        "number": seen.number,
        "latency_s": seen.latency_s,
        "late": seen.is_late,
        "error": seen.error,
        "faces": [
            {
                "name": face.name,
                "known": bool(face.match.name),
                "distance": face.match.distance if math.isfinite(face.match.distance) else None,
                "record": face.record.text() if face.record else "",
                "box": [face.box.left, face.box.top, face.box.right, face.box.bottom],
            }
            for face in seen.faces
        ],
    }
