# SPDX-License-Identifier: Apache-2.0
"""The page in a headless Chromium: drawn without a message on the console and without a request, legible on a desk, on a
phone, in the dark and on paper, and it can be used with mouse and keyboard."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from playwright import sync_api

import splitnet
from cli_tools import check
from splitnet import report
from splitnet.sweep_document import document_of
from splitnet.sweeping import sweepable

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

TIMEOUT_MS = 120_000  # Machines may be busy.

# The boxes of all words in the plots that are shown, by plot: [text, left, top, right, bottom, colour].
WORDS = """() => [...document.querySelectorAll(".plot svg")].filter((svg) => svg.checkVisibility()).map((svg) =>
  [...svg.querySelectorAll("text")]
    .filter((text) => text.textContent && getComputedStyle(text).opacity > 0)
    .map((text) => {
      const box = text.getBoundingClientRect();
      return [text.textContent, box.left, box.top, box.right, box.bottom, getComputedStyle(text).fill];
    }))"""
# The totals beside the bars, sorted.
TOTALS = """(key) => [...document.querySelectorAll(`#plot-${key} .mark-text.role-mark text`)]
  .map((text) => text.textContent).sort()"""
LINK_TITLES = "[...document.querySelectorAll('section.link:not([hidden]) > h3')].map((title) => title.textContent)"


PLOTS = {f"plot-{key}" for key in ("links", "regret", "prediction", "latency-0", "pareto-0", "map", "fidelity")}


@dataclass
class Watch:
    """What a page did that it must not do."""

    messages: list[str] = field(default_factory=list)  # On the console.
    requests: list[str] = field(default_factory=list)  # For anything but the page itself.


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    assert Path(CHROMIUM).exists(), f"{CHROMIUM} is not there: scripts/setup installs it"
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def show(browser: Any, html: str, tmp_path: Path) -> Iterator[Callable[..., tuple[Any, Watch]]]:
    """Opens a page and waits until it is drawn; at the end no page may have said or asked for anything."""
    watches: list[Watch] = []
    contexts: list[Any] = []

    def show(content: str = html, width: int = 1280, scheme: str = "light", fragment: str = "") -> tuple[Any, Watch]:
        path = tmp_path / f"sweep-{len(watches)}.html"
        path.write_text(content, encoding="utf-8")
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme))
        contexts[-1].set_default_timeout(TIMEOUT_MS)
        page = contexts[-1].new_page()
        watches.append(watch(page, path.as_uri()))
        page.goto(path.as_uri() + fragment)
        page.wait_for_selector("html.drawn")
        return page, watches[-1]

    yield show
    for context in contexts:
        context.close()
    assert watches == [Watch() for _ in watches]


def watch(page: Any, address: str) -> Watch:
    found = Watch()

    def judge(route: Any) -> None:
        if route.request.url.partition("#")[0] == address:
            route.continue_()
        else:
            found.requests.append(route.request.url)
            route.abort()

    page.on("console", lambda message: found.messages.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: found.messages.append(f"error: {error}"))
    page.on("dialog", lambda dialog: found.messages.append(f"dialog: {dialog.message}"))
    page.route("**/*", judge)
    return found


Show = Callable[..., tuple[Any, Watch]]


def assert_words_stay_apart(page: Any) -> None:
    for plot in page.evaluate(WORDS):
        for index, (text, left, top, right, bottom, _) in enumerate(plot):
            for other, other_left, other_top, other_right, other_bottom, _ in plot[index + 1 :]:
                across = min(right, other_right) - max(left, other_left)
                down = min(bottom, other_bottom) - max(top, other_top)
                assert not (across > 1 and down > 4), f"{text!r} lies on {other!r}"


def luminance(color: str) -> float:
    """WCAG 2.2's relative luminance of "rgb(r, g, b)"."""
    channels = [int(value) / 255 for value in re.findall(r"\d+", color)[:3]]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def assert_words_stand_out(page: Any) -> None:
    """From the paper, by WCAG 2.2's contrast of 4.5; numbers on coloured marks are left out."""
    paper = luminance(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    for plot in page.evaluate(WORDS):
        for text, *_, color in plot:
            if color == "rgb(255, 255, 255)":
                continue
            light, dark = sorted((luminance(color), paper), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, f"{text!r} is {color}"


# ---- That these tests can fail.


def test_a_message_and_a_request_are_noticed(browser: Any, tmp_path: Path) -> None:
    path = tmp_path / "bad.html"
    path.write_text("<img src='http://127.0.0.1:9/x.png'><script>console.warn('careful'); broken()</script>")
    page = browser.new_page()
    found = watch(page, path.as_uri())
    page.goto(path.as_uri())
    page.close()
    assert found.requests == ["http://127.0.0.1:9/x.png"]
    assert "warning: careful" in found.messages
    assert any("broken is not defined" in message for message in found.messages)


def test_words_that_lie_on_one_another_are_noticed(show: Show) -> None:
    page, _ = show()
    page.evaluate("document.querySelector('.plot svg text').textContent += ' x'.repeat(60)")
    with pytest.raises(AssertionError, match="lies on"):
        assert_words_stay_apart(page)


# ---- To look at.


@pytest.mark.parametrize("width", [1280, 768, 390])
def test_all_plots_are_drawn_within_the_width_there_is(show: Show, width: int) -> None:
    page, _ = show(width=width)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    boxes = page.evaluate(
        """[...document.querySelectorAll(".plot")].filter((plot) => plot.checkVisibility()).map((plot) => {
          const svg = plot.querySelector("svg").getBoundingClientRect();
          return [plot.id, svg.width, svg.height, plot.clientWidth];
        })"""
    )
    assert {name for name, *_ in boxes} == PLOTS
    assert all(0.9 * available < drawn <= available + 1 and height > 100 for _, drawn, height, available in boxes), (
        boxes
    )


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("link", [0, 4])
def test_words_in_plots_stay_apart_and_on_the_page(show: Show, width: int, link: int) -> None:
    page, _ = show(width=width, fragment=f"#link-{link}")
    assert_words_stay_apart(page)
    for plot in page.evaluate(WORDS):
        assert len(plot) > 5
        assert [text for text, left, _, right, *_ in plot if left < 0 or right > width] == []


def test_on_a_phone_tables_scroll_within_themselves(show: Show) -> None:
    page, _ = show(width=390)
    scroll = page.locator("section.link:not([hidden]) .scroll").last
    assert scroll.evaluate("(region) => region.scrollWidth > region.clientWidth && region.clientWidth <= 390")
    scroll.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("(region) => region.scrollLeft > 0", arg=scroll.element_handle())


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_in_light_and_in_the_dark(show: Show, scheme: str) -> None:
    page, _ = show(scheme=scheme)
    paper = luminance(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert paper > 0.9 if scheme == "light" else paper < 0.02
    assert_words_stand_out(page)


def test_print_is_light_and_has_the_chosen_link(show: Show) -> None:
    page, _ = show(scheme="dark", fragment="#link-5")
    page.emulate_media(media="print", color_scheme="dark")
    assert luminance(page.evaluate("getComputedStyle(document.body).backgroundColor")) == 1
    assert_words_stand_out(page)
    assert page.evaluate(LINK_TITLES) == ["200 Mbit/s, 4.0\N{NO-BREAK SPACE}ms"]
    assert not page.locator("#choose-link").is_visible()
    assert page.get_by_text("Printed with the plans of the one link").is_visible()
    assert page.evaluate("getComputedStyle(document.querySelector('figure')).breakInside") == "avoid"


def test_a_printed_page_cuts_nothing_off_and_the_screen_is_as_before(show: Show, tmp_path: Path) -> None:
    page, _ = show()
    before = page.evaluate("document.querySelector('#plot-links svg').getBoundingClientRect().width")
    page.pdf(path=tmp_path / "sweep.pdf", format="A4")
    assert (tmp_path / "sweep.pdf").read_bytes().startswith(b"%PDF")
    page.wait_for_function(
        "(width) => document.querySelector('#plot-links svg').getBoundingClientRect().width === width", arg=before
    )
    page.set_viewport_size({"width": 688, "height": 900})  # What A4 has between the margins.
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.scrollWidth") <= 688
    if shutil.which("pdftotext"):
        text = subprocess.run(
            ["pdftotext", tmp_path / "sweep.pdf", "-"], capture_output=True, text=True, check=True
        ).stdout
        assert "Sweep of a_network" in text
        assert "latency (ms)" in text


# ---- To use.


def column(table: Any, index: int) -> list[str]:
    return list(
        table.evaluate(
            "(table, index) => [...table.tBodies[0].rows].map((row) => row.cells[index].dataset.sort)", index
        )
    )


def test_tables_are_sorted_by_click_and_by_key(show: Show) -> None:
    page, _ = show()
    table = page.locator("table.plans").first
    measured = table.get_by_role("columnheader", name="Measured", exact=True)
    assert measured.get_attribute("aria-sort") == "none"

    measured.locator("button").click()
    assert measured.get_attribute("aria-sort") == "ascending"
    up = column(table, 4)
    numbers = [float(value) for value in up if value]
    assert numbers == sorted(numbers)
    assert 0 < len(numbers) < len(up), "some plans of this link were not measured"
    assert up[: len(numbers)] == [value for value in up if value], "these come last"

    measured.locator("button").focus()
    page.keyboard.press("Enter")
    assert measured.get_attribute("aria-sort") == "descending"
    down = column(table, 4)
    assert [float(value) for value in down if value] == sorted(numbers, reverse=True)
    assert down[len(numbers) :] == [""] * (len(up) - len(numbers))

    codec = table.get_by_role("columnheader", name="Codec")
    codec.locator("button").focus()
    page.keyboard.press("Space")
    assert codec.get_attribute("aria-sort") == "ascending"
    assert measured.get_attribute("aria-sort") == "none"
    names = column(table, 1)
    assert names[:-1] == sorted(names[:-1])
    assert names[-1] == "", "nothing is encoded on the device"
    assert len(set(names)) == 5


def test_cuts_are_sorted_by_depth(show: Show) -> None:
    page, _ = show()
    table = page.locator("table.plans").first
    table.locator("th", has_text="Cut").locator("button").click()
    depths = [int(value) for value in column(table, 0)]
    assert depths == sorted(depths)
    assert depths[-1] == 20


def bars(page: Any, key: str) -> list[str]:
    return list(
        page.evaluate(
            "(id) => [...document.querySelectorAll(`#${id} svg path`)].map((path) => path.outerHTML)", f"plot-{key}"
        )
    )


def totals(page: Any, key: str) -> list[str]:
    return list(page.evaluate(TOTALS, key))


def test_another_link_has_other_plots(show: Show) -> None:
    page, _ = show()
    assert page.evaluate(LINK_TITLES) == ["1.0/4.0 Mbit/s, 80\N{NO-BREAK SPACE}ms"]
    first = bars(page, "latency-0")
    page.locator("#choose-link").select_option("3")
    page.wait_for_selector("#plot-latency-3 svg")
    page.wait_for_selector("#plot-pareto-3 svg")
    assert page.evaluate(LINK_TITLES) == ["40 Mbit/s, 10\N{NO-BREAK SPACE}ms"]
    assert not page.locator("#plot-latency-0").is_visible()
    assert bars(page, "latency-3") != first
    assert page.url.endswith("#link-3")


def test_a_verdict_leads_to_its_link(show: Show) -> None:
    page, _ = show()
    page.locator(".verdicts a").nth(6).focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#plot-latency-6 svg")
    assert page.locator("#choose-link").input_value() == "6"
    page.wait_for_function("() => Math.abs(document.getElementById('link-6').getBoundingClientRect().top) < 200")


def test_another_codec_has_other_bars(show: Show) -> None:
    page, _ = show(fragment="#link-4")
    codec = page.locator("select[data-plot='latency-4']")
    best = totals(page, "latency-4")
    codec.select_option("raw")
    page.wait_for_function(f"(before) => ({TOTALS})('latency-4').join() !== before.join()", arg=best)
    raw = totals(page, "latency-4")
    assert len(raw) == len(best) == 2 * 21
    codec.select_option(index=0)
    page.wait_for_function(f"(before) => ({TOTALS})('latency-4').join() === before.join()", arg=best)


def test_one_cut_of_the_codecs_can_be_looked_at_alone(show: Show) -> None:
    page, _ = show()
    dots = page.locator("#plot-fidelity .mark-symbol.role-mark path")
    assert dots.count() == 10
    page.locator("select[data-plot='fidelity']").select_option("after features.5")
    sync_api.expect(dots).to_have_count(4)  # Those of this cut, and the one that is for any.


def test_a_tooltip_tells_the_whole_name_of_the_codec(show: Show) -> None:
    page, _ = show(fragment="#link-4")
    page.locator("#plot-latency-4 .mark-rect.role-mark path[fill='#009E73']").first.hover()
    tooltip = page.locator("#vg-tooltip-element.visible")
    tooltip.wait_for()
    assert "codec" in tooltip.inner_text()
    assert "term (ms)" in tooltip.inner_text()


def test_turning_a_phone_draws_the_plots_anew(show: Show) -> None:
    page, _ = show(width=390)
    page.set_viewport_size({"width": 844, "height": 390})
    page.wait_for_function("() => document.querySelector('#plot-links svg').getBoundingClientRect().width > 700")
    assert_words_stay_apart(page)


def test_hostile_text_does_nothing(show: Show, make_document: Callable[..., dict[str, Any]]) -> None:
    evil = "</script><script>window.evil = 1</script><img src=x onerror='window.evil = 1'>"
    document = make_document(links=2, name="features.{}" + evil)
    document["model"]["name"] += evil
    document["versions"]["torch"] += evil
    for link in document["sweep"]["links"]:
        link["worker"] += evil
        for row in link["rows"]:
            row["codec"] += evil if row["codec"] != "raw" else ""
    page, _ = show(report.render(document))
    page.locator("#plot-latency-0 .mark-rect.role-mark path[fill='#2C7FC0']").last.hover()
    page.locator("#vg-tooltip-element.visible").wait_for()
    assert page.evaluate("window.evil") is None
    assert page.locator("img").count() == 0
    assert evil in page.locator("h1").inner_text()


# ---- A sweep that was measured.


def swept(part: splitnet.Partitioner) -> dict[str, Any]:
    """Over eight links, with a calibration of two cuts; everything as quick as can be, for nobody needs the numbers."""
    examples = [[torch.rand_like(part.example_inputs[0])] for _ in range(8)]
    cuts = [splitnet.Cut.after("first"), splitnet.Cut.after("add")]
    calibration = splitnet.calibrate(part, examples, splitnet.CalibrationOptions(cuts=cuts))
    codecs = [one for one in sweepable(calibration) if one.name == "int8" or one.name.endswith("coarseness=0")]
    planning = splitnet.TwoTierOptions(
        device_options=splitnet.ProfileOptions(pause_s=0),
        link_options=splitnet.LinkProbeOptions(small_messages=3, large_messages=1, pause_s=0, message_s=0.02),
    )
    with splitnet.Worker(part) as served:
        links = [
            f"shaped://up={rate}Mbit,down=50Mbit,delay=500us@{served.address}"
            for rate in (2, 5, 10, 20, 50, 100, 200, 1000)
        ]
        options = splitnet.SweepOptions(workers=links, max_cuts=1, repetitions=1, pause_s=0, planning=planning)
        found = splitnet.sweep(part, links, codecs=codecs, options=options)
    return document_of(part, found, codecs=codecs, calibration=calibration)


def test_a_measured_sweep_is_drawn(show: Show, part: splitnet.Partitioner) -> None:
    document = swept(part)
    check(document, "sweep")
    page, _ = show(report.render(document))
    assert set(page.evaluate("[...document.querySelectorAll('.plot:has(svg)')].map((plot) => plot.id)")) == PLOTS
    page.locator("select[data-plot='fidelity']").select_option("after add")
    for link in range(1, 8):
        page.locator("#choose-link").select_option(str(link))
        for plot in ("latency", "pareto"):
            page.wait_for_selector(f"#plot-{plot}-{link} svg")
