# SPDX-License-Identifier: Apache-2.0
"""Profiles and sweeps as tables in notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from splitnet import _core
from splitnet.html_table import html_table
from splitnet.units import format_bit_rate, format_bytes, format_time


def html_of_profile(profile: _core.DeviceProfile) -> str:
    """Each layer's time and memory."""
    title = (
        f"{profile.machine}, {profile.framework}, {profile.threads} threads: a pass in {format_time(profile.pass_s)}"
    )
    rows = (
        (layer.name, format_time(layer.time_s), format_time(layer.spread_s), format_bytes(layer.peak_bytes))
        for layer in profile.layers
    )
    return f"<p>{escape(title)}</p>" + html_table(("layer", "time", "spread", "peak memory"), rows)


def html_of_sweep(sweep: _core.Sweep) -> str:
    """For each link what was chosen, and how it did beside the others."""
    head = ("link", "up", "round trip", "chosen", "measured", "predicted", "best", "regret")
    return html_table(head, (_row(link) for link in sweep.links))


def _row(link: _core.LinkSweep) -> Sequence[str]:
    chosen, best = link.rows[link.chosen], link.rows[link.best]
    return (
        link.worker,
        format_bit_rate(link.link.up_bytes_per_s),
        format_time(link.link.rtt_s),
        f"{chosen.cut}, {chosen.codec}",
        format_time(chosen.measured.total_s),
        format_time(chosen.predicted.total_s),
        f"{best.cut}, {best.codec}: {format_time(best.measured.total_s)}",
        f"{100 * link.regret:.1f} %",
    )
