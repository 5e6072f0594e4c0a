# SPDX-License-Identifier: Apache-2.0
"""What splitnet-worker says of itself at /metrics (docs/observing.md)."""

from __future__ import annotations

import re
import urllib.request
from collections import defaultdict
from dataclasses import dataclass

_SAMPLE = re.compile(r"^(?P<name>[a-z_]+)(?:\{[^}]*\})? (?P<value>\S+)$", re.MULTILINE)
_MAX_BYTES = 2**20
_DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class WorkerMetrics:
    """Counters are since the start of the process, over all models."""

    ended: int = 0  #: Requests that have ended, answered or with an error; also those by which a session is opened.
    answered: int = 0  #: Inferences: of these, the ones that got a result.
    work_s: float = 0.0  #: What they took: getting the stage, decoding, passes.
    held: int = 0  #: Requests that wait or run in the worker now.


def parse(text: str) -> WorkerMetrics:
    """Raises ValueError: these are no metrics of a worker."""
    sums: defaultdict[str, float] = defaultdict(float)
    for sample in _SAMPLE.finditer(text):
        sums[sample["name"].removeprefix("splitnet_worker_")] += float(sample["value"])
    if "queued_requests" not in sums:
        raise ValueError(f"found {text[:80]!r}, expected the metrics of a splitnet-worker")
    return WorkerMetrics(
        ended=int(sums["requests_total"]),
        answered=int(sums["run_seconds_count"]),
        work_s=sums["slice_seconds_sum"] + sums["decode_seconds_sum"] + sums["run_seconds_sum"],
        held=int(sums["queued_requests"] + sums["running_requests"]),
    )


def ask(status_url: str, timeout_s: float) -> WorkerMetrics:
    """Of the worker whose --status is at this URL, on this machine. Raises OSError, ValueError."""
    with _DIRECTLY.open(f"{status_url}/metrics", timeout=timeout_s) as answer:
        return parse(answer.read(_MAX_BYTES).decode())
