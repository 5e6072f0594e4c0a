# SPDX-License-Identifier: Apache-2.0
"""What the sweep found, in words. Times are as measured unless the words say otherwise."""

from __future__ import annotations

from statistics import median

from splitnet.names import DEVICE_ONLY, WORKER_ONLY

from .document import SPLIT, Link, Report, Row
from .units import codec_text, percent_text, significant, time_text


def summary(report: Report) -> list[str]:
    """A few sentences about all links."""
    sentences = [_count_of_verdicts(report)]
    errors = sorted(abs(row.signed_error or 0.0) for _, row in report.measured_rows())
    sentences.append(
        f"Predicted against measured latency, over {len(errors)} measured plans: "
        f"median error {percent_text(median(errors))}, worst {percent_text(errors[-1])}."
    )
    regrets = [link.regret for link in report.links]
    sentences.append(
        "Regret, the time of the chosen plan over that of the fastest measured one: "
        f"median {percent_text(median(regrets))}, worst {percent_text(max(regrets))}."
    )
    return sentences


def headline(link: Link) -> str:
    """The verdict on one link in a few words."""
    if link.chosen.kind == SPLIT:
        return "Split" if _split_is_confirmed(link) else "Split, but it does not win"
    return "Don't split" if not link.split_wins else "Don't split, though a split was faster"


def details(link: Link) -> str:
    """The verdict on one link with its figures."""
    sentences = [f"Chosen: {plan_text(link.chosen)}, {time_text(link.chosen.latency_s)}."]
    comparisons = [_against(link.chosen, name, row) for name, row in _others(link)]
    if comparisons:
        sentences.append(f"It is {_enumerate(comparisons)}.")
    split = link.fastest_split()
    if link.chosen.kind != SPLIT and split:
        sentences.append(f"The fastest split, {plan_text(split)}, takes {_time(split)}.")
    sentences.append(_regret(link))
    return " ".join(sentences)


def plan_text(row: Row) -> str:
    """ "device only", "worker only, u8" or "after features.3, f16"."""
    return f"{row.cut}, {row.codec_text}" if row.codec_text else row.cut


def _count_of_verdicts(report: Report) -> str:
    kinds = [link.chosen.kind for link in report.links]
    links = "1 link" if len(kinds) == 1 else f"{len(kinds)} links"
    counts = [
        f"{'a split' if kind == SPLIT else kind} on {kinds.count(kind)}"
        for kind in (DEVICE_ONLY, WORKER_ONLY, SPLIT)
        if kind in kinds
    ]
    wins = sum(link.split_wins for link in report.links)
    won = "none of them" if wins == 0 else f"{wins} of them" if len(kinds) > 1 else "it"
    return f"On {links} the planner chose {_enumerate(counts)}; measured, a split is fastest on {won}."


def _split_is_confirmed(link: Link) -> bool:
    unsplit = [row for row in link.rows if row.measured and row.kind != SPLIT]
    return all(link.chosen.latency_s < row.latency_s for row in unsplit)


def _others(link: Link) -> list[tuple[str, Row]]:
    """The unsplit plans that the chosen one is compared with."""
    compressed = link.baseline(WORKER_ONLY, compressed=True)
    candidates = [
        (DEVICE_ONLY, link.baseline(DEVICE_ONLY)),
        ("worker only with raw inputs", link.baseline(WORKER_ONLY)),
        (f"worker only with {codec_text(compressed.codec)}" if compressed else "", compressed),
    ]
    return [(name, row) for name, row in candidates if row and row is not link.chosen]


def _against(chosen: Row, name: str, other: Row) -> str:
    """As in "12 % faster than device only (53.0 ms)"; what repeating the measurement changes is no difference."""
    named = f"{name} ({_time(other)})"
    ratio = other.latency_s / chosen.latency_s
    if other.measured and abs(ratio - 1) <= max(chosen.repetition_error, other.repetition_error):
        return f"as fast as {named} within the repetition error"
    if ratio >= 2:
        return f"{significant(ratio, 2)} times as fast as {named}"
    if ratio >= 1:
        return f"{percent_text(1 - 1 / ratio)} faster than {named}"
    return f"{percent_text(1 / ratio - 1)} slower than {named}"


def _time(row: Row) -> str:
    return time_text(row.latency_s) + ("" if row.measured else " predicted, not measured")


def _regret(link: Link) -> str:
    if link.fastest is link.chosen:
        return "No measured plan was faster: regret 0\N{NO-BREAK SPACE}%."
    return f"Fastest measured: {plan_text(link.fastest)}; regret {percent_text(link.regret)}."


def _enumerate(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
