# SPDX-License-Identifier: Apache-2.0
"""The file of labels, and names that strangers give."""

from __future__ import annotations

import csv
import io

import pytest

from elastic_pool.labels import DistinctNames, labels_file, shown_name


def rows_of(file: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(file.decode(), newline="")))


def test_names_with_commas_quotes_and_line_ends_stay_one_cell() -> None:
    rows = [("a,b.jpg", "tabby"), ('say "cheese".png', "Egyptian cat"), ("two\nlines.jpg", "error: no, really")]
    assert rows_of(labels_file(rows)) == [["picture", "label"], *(list(row) for row in rows)]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "  =", "\n="])
def test_no_cell_is_a_formula(start: str) -> None:
    name = f'{start}cmd|"/c calc"!A1'
    found = rows_of(labels_file([(name, name)]))[1]
    assert found == [f"'{name}", f"'{name}"]


def test_harmless_names_are_as_they_were() -> None:
    assert rows_of(labels_file([("holiday-1=2.jpg", "sea-lion")]))[1] == ["holiday-1=2.jpg", "sea-lion"]


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("cat.jpg", "cat.jpg"),
        ("../../etc/passwd", "passwd"),
        ("C:\\photos\\cat.jpg", "cat.jpg"),
        ("Käse & <b>.png", "Käse & <b>.png"),
        ("", "picture 8"),
        ("..", "picture 8"),
        ("a/", "picture 8"),
        ("two\r\nlines\x00.jpg", "two\ufffd\ufffdlines\ufffd.jpg"),
        ("gpj.\u202ecat", "gpj.\ufffdcat"),
    ],
)
def test_names_to_be_shown(given: str, shown: str) -> None:
    assert shown_name(given, 7) == shown


def test_long_names_are_cut() -> None:
    assert len(shown_name("x" * 10_000 + ".jpg", 0)) == 120


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        (["cat.jpg", "dog.jpg", "cat.png"], ["cat.jpg", "dog.jpg", "cat.png"]),
        (["cat.jpg", "cat.jpg", "cat.jpg"], ["cat.jpg", "cat (2).jpg", "cat (3).jpg"]),
        (["cat", "cat"], ["cat", "cat (2)"]),
        (["cat (2).jpg", "cat.jpg", "cat.jpg"], ["cat (2).jpg", "cat.jpg", "cat (3).jpg"]),
        (["cat.jpg", "cat.jpg", "cat (2).jpg"], ["cat.jpg", "cat (2).jpg", "cat (2) (2).jpg"]),
    ],
)
def test_names_are_told_apart(given: list[str], taken: list[str]) -> None:
    names = DistinctNames()
    assert [names.take(name) for name in given] == taken
