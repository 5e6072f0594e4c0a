# SPDX-License-Identifier: Apache-2.0
"""The figures as tables."""

from __future__ import annotations

import textwrap

from common.tables import text_table
from video_faces.live import Latencies
from video_faces.measure import Measured, RunFigures

#: What the system that this follows reports, see SEEDS.md's S3.
THEIRS = {
    "frames per second": "2 (one of each half-second chunk)",
    "latency per frame": "mostly under 2 s",
    "lost": "0",
    "recognised": "60 to 68 %",
}


def verdict(plan: str) -> str:
    """Of what a plan explains, for a terminal: the table before it, of all candidates with all their terms, has 250 columns;
    the verdict names the best of each kind."""
    lines = "".join(plan.partition("verdict:")[1:]).splitlines()
    return "\n".join(textwrap.fill(line, 100, subsequent_indent="    ") for line in lines)


def tables(measured: Measured) -> str:
    """All of them."""
    plans = [f"{name}\n{verdict(plan)}" for name, plan in measured.plans.items()]
    without = [f"No slower device was tried: {measured.no_small_device}"] if measured.no_small_device else []
    return "\n\n".join([*plans, _ways(measured), *without, _runs(measured), _recognition(measured)])


def _ways(measured: Measured) -> str:
    rows = [
        [
            f"{way.network}: {way.where}{' (planned)' if way.is_pick else ''}",
            way.device,
            way.codec,
            f"{way.sent_bytes:,.0f}",
            f"{way.predicted_s * 1000:.1f}",
            f"{way.measured_s * 1000:.1f}",
        ]
        for way in measured.ways
    ]
    title = f"Where the networks may run: {measured.transport}, {measured.link or 'no modelled link'}; one pass, ms"
    return text_table(title, ["network: cut", "device", "codec", "bytes sent", "predicted", "measured"], rows)


def _runs(measured: Measured) -> str:
    columns = ["", "theirs", *(run.what for run in measured.runs)]
    runs = measured.runs
    rows = [
        ["frames recorded", "", *(str(run.recorded) for run in runs)],
        ["frames looked at", "", *(str(run.sent) for run in runs)],
        ["in real time", "yes", *("yes" if run.in_real_time else "no" for run in runs)],
        ["frames per second", THEIRS["frames per second"], *(f"{run.frames_per_s:.1f}" for run in runs)],
        [
            "round trip: mean / p50 / p95 / max, ms",
            THEIRS["latency per frame"],
            *(_latencies(run.latency) if run.finished_by_workers else "" for run in runs),
        ],
        [
            "until named, where nothing was sent, ms",
            "",
            *("" if run.finished_by_workers else _latencies(run.latency) for run in runs),
        ],
        ["from recording: mean / p50 / p95 / max, ms", "", *(_latencies(run.age) for run in runs)],
        ["lost", THEIRS["lost"], *(str(run.lost) for run in runs)],
        ["answered twice", "", *(str(run.twice) for run in runs)],
        ["late (over 2 s)", "", *(str(run.late) for run in runs)],
        ["recognised", THEIRS["recognised"], *(_share(run) for run in runs)],
        ["given another's name", "", *(str(run.misnamed) for run in runs)],
        ["passes that workers finished", "", *(str(run.finished_by_workers) for run in runs)],
        ["passes that the device finished", "", *(str(run.finished_here) for run in runs)],
        ["longest pause of the recorder, ms", "", *(f"{run.longest_gap_s * 1000:.0f}" for run in runs)],
    ]
    return text_table("The clip with the caller (one person)", columns, rows)


def _recognition(measured: Measured) -> str:
    photos, strangers = measured.other_photos, measured.strangers
    rows = [
        ["people in the gallery / pictures enrolled", f"{measured.people} / {measured.pictures_enrolled}"],
        ["other photos of one of them: right", f"{photos.right} of {photos.pictures}"],
        ["given another's name", str(photos.wrong)],
        [f"faces of strangers in {strangers.pictures} photos: unknown", f"{strangers.right} of {strangers.faces}"],
        ["clip without faces: faces found", f"{measured.faces_where_none_are} in {measured.no_faces.sent} frames"],
        ["reads of DynamoDB for all frames", str(measured.record_reads)],
    ]
    return text_table("A small named gallery", ["", "ours"], rows)


def _latencies(found: Latencies) -> str:
    return " / ".join(f"{value * 1000:.0f}" for value in (found.mean_s, found.p50_s, found.p95_s, found.max_s))


def _share(run: RunFigures) -> str:
    return f"{run.named} of {run.to_be_named} ({run.recognised:.0%})"
