# SPDX-License-Identifier: Apache-2.0
"""Tables in notebooks."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from html import escape


def html_table(head: Sequence[str], rows: Iterable[Sequence[str]], marked: Container[int] = ()) -> str:
    """In a box that scrolls; rows with these numbers are bold."""
    body = "".join(_row(row, "th" if index in marked else "td") for index, row in enumerate(rows))
    return (
        '<div style="max-height: 30em; overflow: auto">'
        f"<table><thead>{_row(head, 'th')}</thead><tbody>{body}</tbody></table></div>"
    )


def _row(cells: Sequence[str], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"
