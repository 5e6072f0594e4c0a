# SPDX-License-Identifier: Apache-2.0
"""The page in a headless Chromium, used as a person would."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageOps
from playwright import sync_api
from playwright.sync_api import expect

import splitnet
from common.package_files import package_file
from emotion.emotions import LABELS
from emotion.network_picture import WORKER_COLOUR
from emotion.page_server import PageServer

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


@pytest.fixture(scope="module")
def server(worker: splitnet.Worker, models: Path) -> Iterator[PageServer]:
    with PageServer(["--worker", worker.address, "--models", str(models)]) as started:
        yield started


@pytest.fixture(scope="module")
def browser(photo: bytes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Its camera sees the astronaut."""
    assert Path(CHROMIUM).exists(), f"{CHROMIUM} is not there: scripts/setup installs it"
    film = tmp_path_factory.mktemp("camera") / "astronaut.mjpeg"
    film.write_bytes(photo)
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=CHROMIUM, args=[*FLAGS, f"--use-file-for-fake-video-capture={film}"]
        )
        yield started
        started.close()


@pytest.fixture
def show(browser: Any, server: PageServer) -> Iterator[Show]:
    """Opens the page; at the end it must not have said anything on the console nor asked anybody else."""
    contexts: list[Any] = []
    bad: list[str] = []
    expect.set_options(timeout=TIMEOUT_MS)

    def show(url: str = server.url, width: int = 1280, scheme: str = "light") -> Any:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        context.set_default_timeout(TIMEOUT_MS)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: bad.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: bad.append(f"error: {error}"))
        page.on("request", lambda request: bad.append(request.url) if is_elsewhere(request.url, url) else None)
        page.goto(url)
        expect(page.get_by_text("A photo with a face")).to_be_visible()
        return page

    yield show
    for context in contexts:
        context.close()
    assert bad == []


def is_elsewhere(url: str, own: str) -> bool:
    return not url.startswith((own, own.replace("http", "ws"), "data:", "blob:"))


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
    expect(page.get_by_text(re.compile(f"Cut {cut}|Device only")).first).to_be_visible()


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
    expect(page.get_by_text(re.compile(r"Cut after blocks\.0#4, codec \S+: predicted \d+\.\d ms"))).to_be_visible()
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
    with PageServer(["--worker", mortal.address, "--models", str(models)]) as server:
        page = show(server.url)
        page.get_by_text("Choose the cut myself").click()
        choose(page, "after conv2")
        mortal.close()
        upload(page, "astronaut.jpg", photo)
        expect(page.get_by_text(re.compile("The worker is gone, so this device finished"))).to_be_visible()
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
