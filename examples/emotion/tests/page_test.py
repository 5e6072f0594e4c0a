# SPDX-License-Identifier: Apache-2.0
"""The page in a headless Chromium, used as a person would."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageOps
from playwright.sync_api import expect

import splitnet
from common.package_files import package_file
from common.server_process import ServerProcess
from emotion.emotions import LABELS
from emotion.network_picture import WORKER_COLOUR
from emotion.page_server import running_page
from emotion.tests.page import Show, choose, picture, table_rows, until, upload


@pytest.fixture(scope="module")
def server(worker: splitnet.Worker, models: Path) -> Iterator[ServerProcess]:
    with running_page(["--worker", worker.address, "--models", str(models)]) as started:
        yield started


def test_a_photo_gets_its_answer(show: Show, photo: bytes) -> None:
    page = show()
    upload(page, "astronaut.jpg", photo)
    expect(page.get_by_role("heading", name="happy, 99.8%")).to_be_visible()
    expect(page.get_by_text(re.compile(r"This device: \d+ cores, \d+% busy; .* GB free"))).to_be_visible()
    expect(page.get_by_text("(the planner's choice)")).to_be_visible()
    expect(page.get_by_text("43 layers run on this device, 0 on the worker.")).to_be_visible()
    expect(page.get_by_text("Sent 0 bytes; the photo has 68,052 (0%).")).to_be_visible()
    assert picture(page).count(WORKER_COLOUR) == 1, "in the legend alone"
    names = page.locator(".role-axis-label text", has_text=re.compile("[a-z]"))
    expect(names).to_have_text(list(LABELS))


def test_the_slider_moves_the_cut(show: Show, photo: bytes, worker: splitnet.Worker) -> None:
    page = show()
    upload(page, "astronaut.jpg", photo)
    page.get_by_text("Choose the cut myself").click()
    before = worker.stats.answered
    choose(page, "after blocks.0")
    expect(page.get_by_text("13 layers run on this device, 30 on the worker.")).to_be_visible()
    expect(page.get_by_text(re.compile(r"Cut after blocks\.0, codec \S+: predicted \d+\.\d ms"))).to_be_visible()
    expect(page.get_by_text(re.compile(r"Sent [\d,]{5,} bytes; the photo has 68,052 \(\d+%\)"))).to_be_visible()
    expect(page.get_by_role("heading", name=re.compile("happy, 99"))).to_be_visible()
    expect(page.get_by_role("cell", name="30 layers")).to_be_visible()
    assert picture(page).count(WORKER_COLOUR) == 1 + 30
    assert re.search(r"sends \d+\.\d KB", picture(page))
    assert worker.stats.answered > before


def test_of_several_faces_each_is_answered(show: Show, astronaut: Image.Image) -> None:
    head = astronaut.crop((100, 0, 350, 200))
    wide = Image.new("RGB", (650, 320))
    wide.paste(head, (0, 0))
    wide.paste(ImageOps.mirror(head).resize((400, 320)), (250, 0))
    stream = io.BytesIO()
    wide.save(stream, "PNG")
    page = show()
    upload(page, "two.png", stream.getvalue(), "image/png")
    expect(page.get_by_text("2 faces, the largest first")).to_be_visible()
    first = page.get_by_role("heading", name="happy").inner_text()
    page.get_by_text("Face 2: happy").click()
    expect(page.get_by_role("heading", name="happy")).not_to_have_text(first)


def test_nothing_is_searched_or_asked_for_twice(show: Show, photo: bytes, worker: splitnet.Worker) -> None:
    page = show()
    upload(page, "astronaut.jpg", photo)
    page.get_by_text("Choose the cut myself").click()
    choose(page, "after blocks.0")
    expect(page.get_by_role("cell", name="30 layers")).to_be_visible()
    first = table_rows(page)
    choose(page, "after conv2")
    expect(page.get_by_role("cell", name="39 layers")).to_be_visible()
    assert table_rows(page)[1] == first[1], "the time of the search, to a tenth of a millisecond"
    stages_run = worker.stats.stages_run
    choose(page, "after blocks.0")
    expect(page.get_by_role("cell", name="30 layers")).to_be_visible()
    assert table_rows(page) == first
    assert worker.stats.stages_run == stages_run
    page.get_by_role("button", name="Check again").click()
    until(page, lambda: worker.stats.stages_run > stages_run, "a new check asks anew")
    expect(page.get_by_role("cell", name="30 layers")).to_be_visible()


def test_of_a_crowd_the_largest_faces_are_answered(show: Show, astronaut: Image.Image) -> None:
    head = astronaut.crop((100, 0, 350, 200))
    crowd = Image.new("RGB", (1000, 600))
    for index in range(12):
        crowd.paste(head, (index % 4 * 250, index // 4 * 200))
    stream = io.BytesIO()
    crowd.save(stream, "PNG")
    page = show()
    upload(page, "crowd.png", stream.getvalue(), "image/png")
    expect(page.get_by_text("12 faces were found. The 10 largest are answered.")).to_be_visible()
    expect(page.get_by_text("Face 10: happy")).to_be_visible()
    expect(page.get_by_text("Face 11")).not_to_be_visible()


def test_a_page_with_wrong_options_says_so(browser: Any) -> None:
    with running_page(["--objective", "beauty"]) as server:
        page = browser.new_page()
        page.goto(server.url)
        expect(page.get_by_text("This page was started with options that are wrong")).to_be_visible()
        page.close()


def test_bad_uploads_are_explained(show: Show, photo: bytes) -> None:
    page = show()
    for name, content, message in (
        ("notes.jpg", b"dear diary", "10 bytes that are no picture"),
        ("empty.jpg", b"", "empty file"),
        ("coffee.png", package_file("skimage/data/coffee.png").read_bytes(), "no face was found"),
    ):
        upload(page, name, content)
        said = page.get_by_text(re.compile(f"This photo can't be used: .*{message}"))
        expect(said).to_be_visible()
        page.get_by_role("button", name=re.compile("Remove")).click()
        expect(said).not_to_be_visible()
    upload(page, "astronaut.jpg", photo)
    expect(page.get_by_role("heading", name="happy, 99.8%")).to_be_visible()


def test_the_camera(show: Show) -> None:
    page = show()
    page.get_by_text("Camera", exact=True).click()
    page.wait_for_function("() => document.querySelector('video')?.currentTime > 0.2")
    page.get_by_role("button", name="Take Photo").click()
    expect(page.get_by_role("heading", name=re.compile("happy, 9"))).to_be_visible()


def test_when_the_worker_goes_the_page_says_so(
    show: Show, part: splitnet.Partitioner, models: Path, photo: bytes
) -> None:
    mortal = splitnet.Worker(part, threads=1)
    with running_page(["--worker", mortal.address, "--models", str(models)]) as server:
        page = show(server.url)
        page.get_by_text("Choose the cut myself").click()
        choose(page, "after conv2")
        mortal.close()
        upload(page, "astronaut.jpg", photo)
        expect(
            page.get_by_text(re.compile("The worker did not finish this, so this device did: .*Connection refused"))
        ).to_be_visible()
        expect(page.get_by_role("heading", name="happy, 99.8%")).to_be_visible()
        page.get_by_role("button", name="Check again").click()
        expect(page.get_by_text(re.compile("No worker: .*Connection refused"))).to_be_visible()
        page.close()  # Before its server goes, too.


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone(show: Show, photo: bytes, tmp_path: Path, scheme: str) -> None:
    page = show(width=390, scheme=scheme)
    upload(page, "astronaut.jpg", photo)
    page.get_by_text("Choose the cut myself").click()
    choose(page, "after blocks.1")
    expect(page.get_by_text(re.compile(r"Sent [\d,]{5,} bytes"))).to_be_visible()
    page.screenshot(path=tmp_path / f"phone-{scheme}.png")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    drawn = page.locator("img[src*='svg']").first.bounding_box()
    assert 300 < drawn["width"] <= 390
    paper = page.evaluate("getComputedStyle(document.querySelector('.stApp')).backgroundColor")
    ink = re.search(r'<svg[^>]* fill="(#\w+)"', picture(page))
    assert ink is not None
    assert (luminance(paper) > 0.5) == (scheme == "light")
    assert contrast(paper, "rgb({}, {}, {})".format(*bytes.fromhex(ink[1][1:]))) >= 4.5


def luminance(color: str) -> float:
    """WCAG 2.2's relative luminance of "rgb(r, g, b)"."""
    channels = [int(value) / 255 for value in re.findall(r"\d+", color)[:3]]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)
