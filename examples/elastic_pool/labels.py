# SPDX-License-Identifier: Apache-2.0
"""The file `picture, label`: CSV as RFC 4180 has it, which spreadsheets open without running anything that is in it."""

from __future__ import annotations

import csv
import io
import os.path
import re
import unicodedata
from collections.abc import Iterable

#: Characters that make a spreadsheet take a cell for a formula (OWASP, "CSV Injection").
_STARTS_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_LONGEST_NAME = 120


def labels_file(rows: Iterable[tuple[str, str]]) -> bytes:
    """A head, then a line for each picture's name and label. UTF-8."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["picture", "label"])
    for row in rows:
        writer.writerow([_harmless(cell) for cell in row])
    return text.getvalue().encode()


def _harmless(cell: str) -> str:
    """What looks like a formula is preceded by an apostrophe, which spreadsheets take for "this is text"."""
    return f"'{cell}" if cell.lstrip(" ").startswith(_STARTS_FORMULA) else cell


def shown_name(name: str, index: int) -> str:
    """What an uploaded file is called from then on: without folders, control and invisible characters, of bounded length."""
    last = re.split(r"[/\\]", name)[-1]
    seen = "".join(one if unicodedata.category(one)[0] != "C" else "\N{REPLACEMENT CHARACTER}" for one in last).strip()
    if seen in ("", ".", ".."):
        return f"picture {index + 1}"
    return seen if len(seen) <= _LONGEST_NAME else f"{seen[: _LONGEST_NAME - 1]}…"


class DistinctNames:
    """Tells apart the files of one upload that are called the same: cat.jpg, cat (2).jpg, cat (3).jpg."""

    def __init__(self) -> None:
        self._asked: dict[str, int] = {}  #: How often each name that is taken was asked for.

    def take(self, name: str) -> str:
        """This name, or the first free one after it."""
        stem, ending = os.path.splitext(name)
        free = name
        while free in self._asked:
            self._asked[name] += 1
            free = f"{stem} ({self._asked[name]}){ending}"
        self._asked[free] = 1
        return free
