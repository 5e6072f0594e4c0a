# SPDX-License-Identifier: Apache-2.0
"""The page as a person uses it, in a headless Chromium."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright import sync_api
from playwright.sync_api import expect

import splitnet
from common.server_process import ServerProcess
from elastic_pool.classifiers import classifier
from elastic_pool.photos import varied_photos
from elastic_pool.tests.conftest import StartWeb
from elastic_pool.tests.places import MODEL
from emotion.tests.page import CHROMIUM, FLAGS, TIMEOUT_MS
from local_aws.processes import free_ports

HOSTILE = "<img src=x onerror=alert(1)>.jpg"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


@pytest.fixture
def page(browser: Any, web: ServerProcess) -> Iterator[Any]:
    """The first one; it may say nothing on the console, show no dialogue, and ask nobody else."""
    expect.set_options(timeout=TIMEOUT_MS)
    context = browser.new_context(viewport={"width": 900, "height": 900})
    context.set_default_timeout(TIMEOUT_MS)
    opened = context.new_page()
    bad: list[str] = []
    opened.on("console", lambda said: bad.append(said.text))
    opened.on("pageerror", lambda error: bad.append(str(error)))
    opened.on("dialog", lambda dialog: dialog.dismiss())
    opened.add_init_script("window.alert = (words) => console.error(`alert: ${words}`)")
    opened.on("request", lambda asked: None if asked.url.startswith((web.url, "data:")) else bad.append(asked.url))
    opened.goto(web.url)
    yield opened
    context.close()
    noted = re.compile("the server responded with a status of (404|413)")  # By Chromium itself.
    assert [words for words in bad if not noted.search(words)] == []


def choose(page: Any, files: list[tuple[str, bytes]]) -> None:
    chosen = [{"name": name, "mimeType": "image/jpeg", "buffer": data} for name, data in files]
    page.set_input_files("#files", chosen)
    expect(page.locator("#status")).to_contain_text(f"{len(files)} chosen")
    page.get_by_role("button", name="Classify").click()


def test_pictures_in_labels_out(page: Any) -> None:
    photos = list(varied_photos(4))
    named = [(HOSTILE if index == 1 else one.name, one.file) for index, one in enumerate(photos)]
    choose(page, [*named, ("notes.txt", b"no picture")])
    expect(page.locator("#status")).to_have_text("5 of 5 answered")
    rows = [row.get_by_role("cell").all_inner_texts() for row in page.locator("#rows tr").all()]
    assert [row[1] for row in rows] == [*(name for name, _ in named), "notes.txt"]
    assert [row[2] for row in rows][:4] == ["bull mastiff", "folding chair", "beaker", "buckeye"]
    assert rows[4][2].startswith("error: found 10 bytes that are no picture")
    assert page.evaluate("document.images[0].complete && document.images[0].naturalWidth") > 0
    with page.expect_download() as downloaded:
        page.get_by_role("link", name="labels.csv").click()
    table = list(csv.reader(io.StringIO(Path(downloaded.value.path()).read_text(), newline="")))
    assert table[:3] == [["picture", "label"], [photos[0].name, "bull mastiff"], [HOSTILE, "folding chair"]]
    page.reload()
    expect(page.locator("#rows tr")).to_have_count(5)


def test_too_many_pictures_are_refused_in_words(page: Any) -> None:
    choose(page, [(f"{index}.jpg", b"x" * 1000) for index in range(301)])
    expect(page.locator("#status")).to_have_text("found more than 300 pictures, expected at most so many at once")
    expect(page.get_by_role("button", name="Classify")).to_be_enabled()


def test_an_unknown_job_is_said_on_a_page(page: Any, web: ServerProcess) -> None:
    page.goto(f"{web.url}/jobs/{'x' * 22}")
    expect(page.get_by_role("heading")).to_have_text("Not Found")
    expect(page.get_by_text("there is no such job")).to_be_visible()
    page.get_by_role("link").click()
    expect(page.get_by_role("heading")).to_have_text("What do these pictures show?")


def test_a_page_that_is_open_outlives_the_web_tier(browser: Any, start_web: StartWeb) -> None:
    port, worker_port = free_ports(2)
    endpoint = f"tcp://127.0.0.1:{worker_port}"
    opened = browser.new_page()
    opened.set_default_timeout(TIMEOUT_MS)
    with (
        pytest.raises(RuntimeError, match="exit status -9"),
        start_web("--port", str(port), "--worker", endpoint) as web,
    ):
        opened.goto(web.url)
        choose(opened, [(one.name, one.file) for one in varied_photos(2)])
        expect(opened.locator("#status")).to_have_text("0 of 2 answered")
        web.process.kill()
        web.process.wait()
    expect(opened.locator("#status")).to_contain_text("0 answered; no news now")
    part = splitnet.Partitioner(classifier(MODEL).model_file())
    with (
        splitnet.Worker(part, endpoint, threads=1),
        start_web("--port", str(port), "--worker", endpoint),
    ):
        expect(opened.locator("#status")).to_have_text("2 of 2 answered")
    opened.close()
