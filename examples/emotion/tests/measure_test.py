# SPDX-License-Identifier: Apache-2.0
"""What is measured is what its name says: cold calls are cold, hot ones hot, and nothing wrong goes unsaid."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from common import prices
from emotion.local_platform import Choice
from emotion.measure import Answered, Dollars, Measured, Row, Sample, _dollars, _samples
from local_aws import Invocation


def invocation(is_cold: bool) -> Invocation:
    return Invocation("id", is_cold, 0.2 if is_cold else 0.0, 0.0101, 1024, 1 << 20, None)


class Cloud:
    """A function; `recycle` ends its environment, or fails to."""

    def __init__(self, recycles: bool = True, keeps: bool = True) -> None:
        self.calls: list[Invocation] = []
        self._recycles, self._keeps = recycles, keeps
        self._is_cold = True

    def invocations(self, function: str) -> list[Invocation]:
        return self.calls

    def recycle(self, function: str) -> int:
        self._is_cold |= self._recycles
        return 1

    def way(self) -> Answered:
        self.calls.append(invocation(self._is_cold))
        self._is_cold = not self._keeps
        return Answered("happy", 1000, 28)


def samples(cloud: Cloud, way: Any) -> tuple[list[Sample], list[Sample]]:
    return _samples(cloud, "tail", way, 3, 2)  # type: ignore[arg-type]


def test_cold_calls_are_cold_and_hot_ones_hot() -> None:
    cloud = Cloud()
    cold, hot = samples(cloud, cloud.way)
    assert [one.invocations[0].is_cold for one in cold] == [True] * 2
    assert [one.invocations[0].is_cold for one in hot] == [False] * 3
    assert [call.is_cold for call in cloud.calls] == [True, True, True, False, False, False]


@pytest.mark.parametrize(
    ("cloud", "words"), [(Cloud(recycles=False), "a call was hot although"), (Cloud(keeps=False), "a call was cold")]
)
def test_others_are_no_figures(cloud: Cloud, words: str) -> None:
    with pytest.raises(RuntimeError, match=f"tail: {words}"):
        samples(cloud, cloud.way)


def test_what_stays_here_has_no_cold_calls() -> None:
    cold, hot = samples(Cloud(), lambda: Answered("happy", 0, 0))
    assert (cold, len(hot)) == ([], 3)


def test_dollars_are_those_of_the_price_list() -> None:
    split = [Sample(Answered("happy", 1000, 28), 0.1, (invocation(is_cold),)) for is_cold in (True, False)]
    found = _dollars(split, 0)
    assert found.compute == pytest.approx(1000 * (0.211 + 0.011) / 2 * prices.FUNCTION_GIGABYTE_SECOND)
    assert found.requests == pytest.approx(1000 * prices.FUNCTION_REQUEST)
    assert found.transfer == pytest.approx(1000 * 28 * prices.EGRESS_BYTE)
    assert found.storage == 0
    whole = _dollars([Sample(Answered("happy", 50_000, 300, polls=7), 0.1, (invocation(False),))], 50_000)
    objects = 2 * prices.OBJECT_PUT + 8 * prices.OBJECT_GET
    assert whole.requests == pytest.approx(1000 * (prices.FUNCTION_REQUEST + objects))
    assert whole.storage == pytest.approx(0.05 * prices.OBJECT_GIGABYTE_MONTH)
    assert whole.total == whole.compute + whole.requests + whole.storage + whole.transfer


def test_what_is_wrong_is_said() -> None:
    row = Row("photo", 1.0, 0.5, 0.2, 1000, None, Dollars(0, 0, 0, 0), 0, "happy")
    good = Measured("", 1000, Choice(2, "raw", None, 0), [row, replace(row, name="split", sent_bytes=10)], [])
    assert good.problems() == []
    other = replace(good, rows=[row, replace(row, name="split", label="sad")])
    assert other.problems() == ["split says sad"]
    fallen = replace(good, rows=[row, replace(row, name="planner: after x", sent_bytes=2000, hot_s=0.3)])
    assert fallen.problems() == [
        "the planner picked planner: after x, which sends more than the photo has and is slower"
    ]
