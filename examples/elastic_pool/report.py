# SPDX-License-Identifier: Apache-2.0
"""The table of S2's experiments, theirs and ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from common.tables import text_table
from elastic_pool.measure import Run

#: Pictures at once: what their report says. Seconds from the upload on; a worker was a machine, which took 72 s to boot.
THEIRS = {"20": "230", "30": "216", "40": "for ever (stuck at 26)", "60": "out of memory"}
THEIR_START_S = 72.0

_COLUMNS = (
    "pictures at once",
    "theirs, s",
    "ours, s",
    "upload, s",
    "first label, s",
    "right",
    "workers",
    "killed",
    "restarts",
    "refused",
    "MiB",
)


def table(runs: Sequence[Run]) -> str:
    rows = [
        [
            run.name,
            THEIRS.get(run.name, ""),
            f"{run.total_s:.1f}",
            f"{run.upload_s:.1f}",
            f"{run.first_s:.1f}",
            f"{run.answered} of {run.pictures}",
            str(run.workers),
            str(run.killed),
            str(run.restarts),
            str(run.refused),
            f"{run.worker_peak_bytes / 2**20:.0f}",
        ]
        for run in runs
    ]
    title = "From the upload to the last label; no worker runs at first"
    notes = [
        "MiB: the most that one worker had in memory. Trouble: workers are killed at random, the queue server is lost with",
        "all it had and comes back empty, and somebody sends a request that no worker has memory for. Refused: second",
        "results of a picture, which were not kept.",
    ]
    reasons = [f"in the dead-letter queue: {reason}" for run in runs for reason in run.dead_letters]
    return "\n".join([text_table(title, _COLUMNS, rows), *notes, *reasons])


def document(runs: Sequence[Run]) -> dict[str, Any]:
    """For JSON."""
    return {"runs": [asdict(run) for run in runs], "theirs_s": THEIRS, "their_worker_start_s": THEIR_START_S}
