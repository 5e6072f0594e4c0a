# SPDX-License-Identifier: Apache-2.0
"""Prints what was measured beside what the report says that this example follows."""

from __future__ import annotations

from common import prices
from common.tables import text_table
from emotion.cloud import MEMORY_MEGABYTES
from emotion.measure import BLOCKS, WHOLE_PHOTO, Measured, Row
from emotion.planner_picks import RTT_S

#: Seconds, from their report (COMP4651, hybrid emotion recognition): cold, hot. It has no cold times of splits.
THEIRS: dict[str, tuple[float | None, float | None]] = {
    WHOLE_PHOTO: (18, 3.2),
    BLOCKS[5]: (None, 3.7),
    BLOCKS[4]: (None, 3.0),
    BLOCKS[3]: (None, 2.5),
}


def tables(measured: Measured) -> str:
    """For a terminal."""
    title = f"A photo of {measured.photo_bytes:,} bytes; a link with {measured.link} one way. Medians, in seconds."
    columns = ["", "theirs cold", "theirs hot", "ours cold", "of it start", "ours hot", "bytes sent"]
    columns += ["$ compute", "$ requests", "$ storage", "$ transfer", "$ hot", "$ cold", "MiB"]
    rows = [_cells(row) for row in measured.rows]
    notes = (
        "Theirs: from their report, on AWS. Ours: functions on this machine, C++ and Python on the real runtime "
        f"interface.\nDollars for 1,000 photos, list prices of {prices.REGION} as of {prices.AS_OF}, "
        f"{MEMORY_MEGABYTES} MB of function memory;\nhot unless it says cold. Storage: the photo, kept a month. Start: the function's process, until it asks for work.\n"
        + "".join(f"  {source}\n" for source in prices.SOURCES)
    )
    return f"{text_table(title, columns, rows)}\n{notes}\n{_pick_table(measured)}"


def _cells(row: Row) -> list[str]:
    theirs = THEIRS.get(row.name, (None, None))
    dollars = row.hot_dollars
    return [
        row.name,
        *("" if value is None else f"{value:g}" for value in theirs),
        *("" if value is None else f"{value:.3f}" for value in (row.cold_s, row.start_s, row.hot_s)),
        f"{row.sent_bytes:,}",
        *(f"{part:.5f}" for part in (dollars.compute, dollars.requests, dollars.storage, dollars.transfer)),
        f"{dollars.total:.5f}",
        "" if row.cold_dollars is None else f"{row.cold_dollars.total:.5f}",
        f"{row.peak_memory_bytes >> 20}" if row.peak_memory_bytes else "",
    ]


def _pick_table(measured: Measured) -> str:
    columns = [
        "Mbit/s up",
        "device slower",
        "codecs",
        "the planner picks",
        "bytes sent",
        "ms",
        "5 blocks ms",
        "photo ms",
        "",
    ]
    rows = [
        [
            f"{pick.up_megabits_per_s:g}",
            f"{pick.slower:g} ×",
            pick.codecs,
            f"{pick.cut} {pick.codec}".strip(),
            f"{pick.sent_bytes:,.0f}",
            *(f"{s * 1e3:.1f}" for s in (pick.latency_s, pick.five_blocks_s, pick.photo_s)),
            "privacy" if pick.is_private_at_a_price(measured.photo_bytes) else "",
        ]
        for pick in measured.picks
    ]
    title = f"What the planner picks elsewhere, predicted for the network alone, {RTT_S * 1e3:g} ms there and back"
    note = "privacy: sending the photo would be faster, and take fewer bytes; it stays on the device all the same."
    return f"{text_table(title, columns, rows)}\n{note}\n"
