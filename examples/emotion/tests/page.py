# SPDX-License-Identifier: Apache-2.0
"""What a person does on the page, in a headless Chromium; `show` of conftest.py opens it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from playwright.sync_api import expect

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
]
TIMEOUT_MS = 60_000  # Machines may be busy.

Show = Callable[..., Any]


def upload(page: Any, name: str, content: bytes, kind: str = "image/jpeg") -> None:
    page.set_input_files("input[type=file]", {"name": name, "mimeType": kind, "buffer": content})


def picture(page: Any) -> str:
    """The SVG of the network."""
    source = page.locator("img[src*='svg']").first.get_attribute("src")
    text: str = page.evaluate("(source) => fetch(source).then((answer) => answer.text())", source)
    return text


def choose(page: Any, cut: str) -> None:
    """Moves the slider to a cut, from where it is."""
    slider = page.get_by_role("slider")
    for key in ["Home"] + ["ArrowRight"] * 7:
        slider.press(key)
        if slider.get_attribute("aria-valuetext") == cut:
            break
    expect(page.get_by_text(re.compile(f"Cut {re.escape(cut)}, codec"))).to_be_visible()


def table_rows(page: Any) -> list[list[str]]:
    """Of the table of what ran where: where, what, milliseconds."""
    rows = page.get_by_role("table").first.get_by_role("row").all()
    return [row.get_by_role("cell").all_inner_texts()[-3:] for row in rows]


def until(page: Any, is_so: Callable[[], bool], what: str) -> None:
    """Waits while the page goes on."""
    for _ in range(TIMEOUT_MS // 50):
        if is_so():
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"{what}: not after {TIMEOUT_MS} ms")
