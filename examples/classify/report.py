# SPDX-License-Identifier: Apache-2.0
"""What was measured, beside theirs: a table, and the same as JSON."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from typing import Any

from classify.measure import Run
from common.tables import text_table

#: What the report of ClassifyCloud says: one fixed model, workers that are machines.
THEIRS = {"requests": 40, "answered": 38, "mean_s": 50.0}


def table(runs: Sequence[Run]) -> str:
    """One row for each run; the first is theirs."""
    columns = [
        "",
        "answered",
        "labels right",
        "mean [s]",
        "p50",
        "p95",
        "longest",
        "all [s]",
        "workers",
        "killed",
    ]
    theirs = f"{THEIRS['answered']} of {THEIRS['requests']}"
    first = ["theirs: 40 at once", theirs, "-", f"about {THEIRS['mean_s']:.0f}", *("-" * 6)]
    return text_table("ClassifyCloud, theirs and ours", columns, [first, *map(_row, runs)])


def _row(run: Run) -> list[str]:
    times = [run.mean_s, run.latency_s(0.5), run.latency_s(0.95), run.latency_s(1.0), run.wall_s]
    asked = len(run.replies)
    counts = [f"{run.answered} of {asked}", f"{run.right} of {asked}"]
    return [run.name, *counts, *(f"{time_s:.2f}" for time_s in times), str(run.workers), str(run.killed)]


def document(runs: Sequence[Run]) -> dict[str, Any]:
    """For a file."""
    return {
        "theirs": THEIRS,
        "machine": {"processor": platform.machine(), "cores": len(os.sched_getaffinity(0))},
        "runs": [
            {
                "name": run.name,
                "requests": len(run.replies),
                "answered": run.answered,
                "right": run.right,
                "wrong": run.wrong,
                "mean_s": run.mean_s,
                "p50_s": run.latency_s(0.5),
                "p95_s": run.latency_s(0.95),
                "longest_s": run.latency_s(1.0),
                "wall_s": run.wall_s,
                "workers": run.workers,
                "killed": run.killed,
                "latencies_s": run.latencies_s,
            }
            for run in runs
        ],
    }
