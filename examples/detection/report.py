# SPDX-License-Identifier: Apache-2.0
"""What was measured of each way of detecting, as a table and as JSON, with what the report that this follows says."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass

from common import prices
from common.summary import Summary
from common.tables import text_table

_MEGABYTE = 2**20


@dataclass(frozen=True)
class Column:
    """One way of detecting. Times in seconds, of hot calls only; None: there is no such thing here, or none is known."""

    name: str
    transfer_s: Summary | None
    inference_s: Summary | None  #: The network, on whichever machine; without transfers.
    execution_s: Summary | None  #: What AWS counts for the function.
    end_to_end_s: Summary | None  #: From the file's bytes to the objects.
    cold_s: float | None  #: End to end of the first call, which starts an execution environment.
    device_memory_bytes: int | None
    function_memory_bytes: Summary | None
    sent_bytes: float | None  #: A picture, to AWS.
    received_bytes: (
        float | None
    )  #: A picture; what goes out of AWS is paid for. An item of the table counts as nothing.
    dollars_per_1000: float | None  #: Of pictures, all hot; what AWS charges.
    same_objects: int | None  #: Pictures in which this way found exactly what the local one did.


#: From their report (TU Wien): YOLO on pictures of COCO, Lambda of 512 MB. Milliseconds and megabytes there.
THEIRS = (
    Column(
        name="local (theirs)",
        transfer_s=None,
        inference_s=Summary(0, 32.41e-3, 7.62e-3, 21e-3, 58e-3),
        execution_s=None,
        end_to_end_s=None,
        cold_s=None,
        device_memory_bytes=None,
        function_memory_bytes=None,
        sent_bytes=None,
        received_bytes=None,
        dollars_per_1000=None,
        same_objects=None,
    ),
    Column(
        name="remote (theirs)",
        transfer_s=Summary(0, 48.17e-3, 14.86e-3, 36e-3, 152e-3),
        inference_s=None,
        execution_s=Summary(0, 1.780, 0.379, 1.214, 3.008),
        end_to_end_s=None,
        cold_s=None,
        device_memory_bytes=None,
        function_memory_bytes=Summary(0, 453 * _MEGABYTE, 1.5 * _MEGABYTE, 449 * _MEGABYTE, 454 * _MEGABYTE),
        sent_bytes=None,
        received_bytes=None,
        dollars_per_1000=None,
        same_objects=None,
    ),
)


@dataclass(frozen=True)
class Report:
    """All of it."""

    columns: list[Column]
    pictures: int
    repetitions: int
    machine: str
    measured_on: str
    link: str  #: Before the split's function; empty: none but loopback.
    verdict: str  #: The planner's own words.
    split_cut: str
    split_codec: str
    split_is_chosen: bool  #: By the planner; else it is the best split all the same, forced.
    failures: list[str]

    def text(self) -> str:
        """The table, and what to know about it."""
        columns = [*self.columns, *THEIRS]
        lines = [text_table(self._title(), ["", *(one.name for one in columns)], _rows(columns, self.pictures))]
        lines += [f"Planner: {self.verdict}"]
        lines += [f"Split shown: after {self.split_cut}, codec {self.split_codec}; {self._why_shown()}"]
        lines += [f"Machine: {self.machine}. Functions on stand-ins for AWS there; memory sizes are shares of a core."]
        lines += ["Theirs: as in their report; another network (YOLO), other pictures (COCO), AWS itself."]
        lines += [
            f"Prices: {prices.REGION}, list, beyond the free tier, as of {prices.AS_OF}: {', '.join(prices.SOURCES)}"
        ]
        lines += [
            "Dollars are AWS's of hot calls: the device's own power, and storage of pictures and items, are not in."
        ]
        return "\n".join([*lines, *(f"FAILED: {failure}" for failure in self.failures)])

    def _title(self) -> str:
        link = f", link before the split {self.link}" if self.link else ", all over loopback"
        return f"{self.pictures} pictures x {self.repetitions}, times in ms: mean / SD / min / max{link}"

    def _why_shown(self) -> str:
        return "as the planner chose" if self.split_is_chosen else "the best split, forced: the planner would not split"

    def to_json(self) -> str:
        """With theirs, and the prices' date and sources."""
        facts = dataclasses.asdict(self) | {
            "theirs": [dataclasses.asdict(one) for one in THEIRS],
            "prices": {"region": prices.REGION, "as_of": prices.AS_OF, "sources": prices.SOURCES},
        }
        return json.dumps(facts, indent=1)


def _rows(columns: Sequence[Column], pictures: int) -> list[list[str]]:
    def times(summary: Summary | None) -> str:
        return "" if summary is None else summary.text(1e3)

    def number(value: float | None, scale: float, digits: int) -> str:
        return "" if value is None else f"{value * scale:.{digits}f}"

    def same(column: Column) -> str:
        return "" if column.same_objects is None else f"{column.same_objects} of {pictures}"

    def megabytes(summary: Summary | None) -> str:
        return "" if summary is None else summary.text(1 / _MEGABYTE, 1)

    return [
        ["transfer", *(times(one.transfer_s) for one in columns)],
        ["inference", *(times(one.inference_s) for one in columns)],
        ["function's execution", *(times(one.execution_s) for one in columns)],
        ["end to end", *(times(one.end_to_end_s) for one in columns)],
        ["cold, end to end", *(number(one.cold_s, 1e3, 0) for one in columns)],
        ["memory of the function, MB", *(megabytes(one.function_memory_bytes) for one in columns)],
        ["memory of the device, MB", *(number(one.device_memory_bytes, 1 / _MEGABYTE, 0) for one in columns)],
        ["sent to AWS, KB a picture", *(number(one.sent_bytes, 1e-3, 1) for one in columns)],
        ["received from AWS, KB a picture", *(number(one.received_bytes, 1e-3, 1) for one in columns)],
        ["dollars for 1,000 pictures", *(number(one.dollars_per_1000, 1, 4) for one in columns)],
        ["same objects as local", *(same(one) for one in columns)],
    ]
