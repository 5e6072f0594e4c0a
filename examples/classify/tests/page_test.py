# SPDX-License-Identifier: Apache-2.0
"""The server as a process, and its page as a person uses it, in a headless Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright import sync_api
from playwright.sync_api import expect

from common.server_process import ServerProcess
from emotion.tests.page import CHROMIUM, FLAGS, TIMEOUT_MS


@pytest.fixture
def page(service: ServerProcess) -> Iterator[Any]:
    """It may say nothing on the console, and ask nobody else."""
    bad: list[str] = []
    expect.set_options(timeout=TIMEOUT_MS)
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        opened = browser.new_page(viewport={"width": 1000, "height": 500})
        opened.set_default_timeout(TIMEOUT_MS)
        opened.on("console", lambda said: bad.append(said.text))
        opened.on("pageerror", lambda error: bad.append(str(error)))
        opened.on("request", lambda asked: None if asked.url.startswith(service.url) else bad.append(asked.url))
        opened.goto(service.url)
        yield opened
        browser.close()
    assert [
        words for words in bad if not words.startswith("Failed to load resource")
    ] == []  # Which Chromium says of errors.


def ask(page: Any, url: str, model: str) -> Any:
    """The row that is added."""
    page.get_by_label("URL").fill(url)
    page.get_by_label("Model").select_option(model)
    page.get_by_role("button", name="Classify").click()
    return page.locator("#answers tr").first


def test_a_person_gets_a_label_and_reads_why_not(page: Any, photos: ServerProcess) -> None:
    expect(page.get_by_role("link", name="the workers now")).to_have_attribute("href", "http://127.0.0.1:1/")
    row = ask(page, f"{photos.url}/0001_imagenet_01_559.jpeg", "mobilenet_v2")
    expect(row.locator("td").nth(2)).to_have_text("folding chair")
    expect(row.locator("td").nth(3)).to_have_text("99 %")
    row = ask(page, "http://169.254.169.254/<b>latest</b>", "emotion")
    expect(row.locator("td").nth(2)).to_have_class("error")
    expect(row.locator("td").nth(2)).to_contain_text("URLs don't have")
    row = ask(page, "http://169.254.169.254/latest/", "emotion")
    expect(row.locator("td").nth(2)).to_have_text(
        "169.254.169.254 is not connected to: its address is not a public one"
    )
    expect(page.locator("#answers tr")).to_have_count(3)
