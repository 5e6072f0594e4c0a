# SPDX-License-Identifier: Apache-2.0
"""The live page in a headless Chromium: names, records, latencies, and the frame with a box around the face."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from playwright import sync_api

from emotion.tests.page import CHROMIUM, FLAGS, TIMEOUT_MS
from video_faces.gallery import Gallery, Match
from video_faces.live import KEPT_FRAMES, Latencies, Live, line
from video_faces.page import LivePage
from video_faces.pipeline import Pipeline, SeenFrame
from video_faces.placing import Sessions
from video_faces.recorder import Recorder
from video_faces.records import Records
from video_faces.video import Video

expect = sync_api.expect


@pytest.fixture
def browser_page() -> Iterator[Any]:
    """It must not say anything on the console, nor ask anybody else."""
    bad: list[str] = []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page()
        page.set_default_timeout(TIMEOUT_MS)
        expect.set_options(timeout=TIMEOUT_MS)
        page.on("console", lambda message: bad.append(message.text))
        page.on("pageerror", lambda error: bad.append(str(error)))
        page.on(
            "request",
            lambda asked: bad.append(asked.url) if not asked.url.startswith(("http://127.0.0.1:", "data:")) else None,
        )
        yield page
        browser.close()
    assert bad == []


def test_the_page_shows_who_is_seen(
    browser_page: Any, here: Sessions, gallery: Gallery, records: Records, clip: str
) -> None:
    live = Live("face_detector: device only")
    with LivePage(live) as served, Video(clip) as video:
        browser_page.goto(served.url)
        expect(browser_page.get_by_text("face_detector: device only")).to_be_visible()
        with Recorder(video, frames_per_chunk=4, in_real_time=False) as recorder:
            Pipeline(here, gallery, records, live.add).run(recorder.chunks())
        expect(browser_page.locator("#seen")).to_have_text("32")
        rows = browser_page.locator("#rows tr")
        expect(rows).to_have_count(32)
        for row in rows.all():
            cells = row.locator("td").all_inner_texts()
            assert cells[1] == "The caller" and cells[3] == "Telecommunications, senior"
            assert float(cells[2]) < 0.6 and cells[4].split()[1] == "ms"
        assert {int(row.locator("td").first.inner_text()) for row in rows.all()} == {
            15 * chunk + at for chunk in range(8) for at in (1, 5, 9, 13)
        }
        newest = rows.first.locator("td").first.inner_text()
        expect(browser_page.locator("#frame")).to_have_attribute("data-frame", newest)
        assert box_pixels(browser_page) > 200, "a green box is drawn"
        expect(browser_page.locator("#trouble")).to_have_text("")


def box_pixels(page: Any) -> int:
    """Of the canvas, those with the colour of boxes of people who are known."""
    count: int = page.evaluate(
        """() => {
          const canvas = document.getElementById("frame");
          const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
          let found = 0;
          for (let at = 0; at < data.length; at += 4)
            if (data[at] === 0x3d && data[at + 1] === 0xdc && data[at + 2] === 0x97) found += 1;
          return found;
        }"""
    )
    return count


def seen(number: int, latency_s: float = 0.1, error: str = "") -> SeenFrame:
    return SeenFrame(number, b"jpeg", [], latency_s, latency_s + 0.3, 0, 0, error)


def test_names_are_text_and_late_frames_are_marked(browser_page: Any) -> None:
    live = Live("<script>alert(1)</script>")
    live.add(seen(1, 2.5))
    live.add(seen(2, error="<img src=x onerror=alert(1)>"))
    with LivePage(live) as served:
        browser_page.goto(served.url)
        expect(browser_page.locator("#where")).to_have_text("<script>alert(1)</script>")
        expect(browser_page.locator("#late")).to_have_text("1")
        expect(browser_page.locator("td.late")).to_have_text("2500 ms late")
        expect(browser_page.get_by_text("<img src=x onerror=alert(1)>")).to_be_visible()


def fetched(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_only_what_is_kept_is_served() -> None:
    live = Live("here")
    for number in range(KEPT_FRAMES + 5):
        live.add(seen(number))
    with LivePage(live) as served:
        state = json.loads(fetched(f"{served.url}state")[1])
        assert state["seen"] == KEPT_FRAMES + 5 and len(state["frames"]) == KEPT_FRAMES
        assert state["frames"][0]["number"] == KEPT_FRAMES + 4
        assert fetched(f"{served.url}frame/{KEPT_FRAMES}.jpg") == (200, b"jpeg")
        for path in (
            "frame/0.jpg",
            "frame/x.jpg",
            "frame/99999999999999999999.jpg",
            "page.py",
            "../page.py",
            "nothing",
        ):
            assert fetched(f"{served.url}{path}")[0] == 404, path


def test_a_port_that_is_taken_is_an_error() -> None:
    with LivePage(Live("here")) as served, pytest.raises(OSError, match="is taken: --port chooses another"):
        LivePage(Live("here"), int(served.url.rstrip("/").rpartition(":")[2]))


def test_a_frame_is_a_line() -> None:
    assert line(seen(7)) == "frame      7    100 ms  nobody"
    assert line(seen(8, 2.25, "no record: gone")) == "frame      8   2250 ms  nobody LATE no record: gone"


def test_latencies_are_summed_up() -> None:
    found = Latencies.of([float(value) for value in range(1, 101)])
    assert (found.mean_s, found.p50_s, found.p95_s, found.max_s) == (50.5, 50.5, 95.0, 100.0)
    with pytest.raises(ValueError, match="found no frames"):
        Latencies.of([])


def test_an_infinite_distance_is_left_out_of_the_state() -> None:
    assert Match("", float("inf")).distance == float("inf")
    json.loads(json.dumps(Live("here").state(), allow_nan=False))
