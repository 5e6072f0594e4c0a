# SPDX-License-Identifier: Apache-2.0
"""The tables of figures that were worked out by hand, and what is wrong with those that should be others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from video_faces.live import Latencies
from video_faces.measure import Measured, RunFigures
from video_faces.people import Figures
from video_faces.report import tables
from video_faces.ways import Way

SENT = RunFigures(
    what="on the workers",
    recorded=120,
    sent=40,
    answered=40,
    twice=0,
    failed=0,
    late=1,
    seconds=4.0,
    longest_gap_s=0.05,
    latency=Latencies(0.25, 0.2, 0.4, 0.5),
    age=Latencies(0.5, 0.5, 0.75, 0.75),
    to_be_named=38,
    named=38,
    misnamed=0,
    finished_here=0,
    finished_by_workers=80,
    in_real_time=True,
)
#: As a plan is: a wide table, and a verdict.
EXPLAINED = f"""objective: latency
plan{" " * 200}latency ms
device only{" " * 200}16.35
verdict: don't split; device only, 16.35 ms
  device only: 16.35 ms, 1 × the plan
  the best split: split after 4.0, int8:per=channel;lossless=zstd, 37.96 ms: it sends 9882 bytes where the input has 442368
"""
KEPT = replace(SENT, what="as planned", finished_here=80, finished_by_workers=0)


@pytest.fixture
def measured() -> Measured:
    return Measured(
        transport="tcp",
        link="up=20Mbit",
        workers=2,
        plans={"face_detector, this machine": EXPLAINED},
        ways=[Way("this machine", "face_detector", "worker only", "jpeg", 8700.0, 0.034, 0.035, is_pick=True)],
        runs=[SENT, KEPT],
        no_faces=replace(SENT, what="no faces", to_be_named=0, named=0),
        faces_where_none_are=0,
        people=4,
        pictures_enrolled=9,
        other_photos=Figures(pictures=4, faces=4, right=3, wrong=0),
        strangers=Figures(pictures=6, faces=20, right=18, wrong=2),
        record_reads=1,
        no_small_device="no quotas here",
    )


def row(text: str, name: str) -> str:
    (found,) = (line for line in text.splitlines() if line.strip().startswith(name))
    return " ".join(found.removeprefix(name).split())


def test_what_sent_nothing_has_no_round_trip(measured: Measured) -> None:
    text = tables(measured)
    latency = "250 / 200 / 400 / 500"
    assert row(text, "round trip").endswith(f"mostly under 2 s {latency}") and text.count(latency) == 2
    assert row(text, "until named").endswith(f"nothing was sent, ms {latency}")
    assert row(text, "frames per second").endswith("2 (one of each half-second chunk) 10.0 10.0")
    assert row(text, "recognised").endswith("60 to 68 % 38 of 38 (100%) 38 of 38 (100%)")
    assert row(text, "face_detector: worker only (planned)").endswith("this machine jpeg 8,700 34.0 35.0")
    assert "No slower device was tried: no quotas here" in text
    assert measured.problems() == []


def test_of_a_plan_there_is_the_verdict_in_lines_that_fit_a_terminal(measured: Measured) -> None:
    (text,) = (part for part in tables(measured).split("\n\n") if "verdict" in part)
    assert text == (
        "face_detector, this machine\n"
        "verdict: don't split; device only, 16.35 ms\n"
        "  device only: 16.35 ms, 1 × the plan\n"
        "  the best split: split after 4.0, int8:per=channel;lossless=zstd, 37.96 ms: it sends 9882 bytes\n"
        "    where the input has 442368"
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"answered": 39}, "on the workers: 1 lost, 0 twice, 0 failed of 40 frames"),
        ({"twice": 1}, "on the workers: 0 lost, 1 twice, 0 failed of 40 frames"),
        ({"named": 30}, "on the workers: 30 of 38 recognised, 0 given another name"),
        ({"misnamed": 1}, "on the workers: 38 of 38 recognised, 1 given another name"),
    ],
)
def test_what_is_wrong_with_a_run_is_said(measured: Measured, changes: dict[str, Any], words: str) -> None:
    assert replace(measured, runs=[replace(SENT, **changes), KEPT]).problems() == [words]
