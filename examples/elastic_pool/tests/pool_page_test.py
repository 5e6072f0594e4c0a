# SPDX-License-Identifier: Apache-2.0
"""The page in a headless Chromium, over real workers that come, die and go."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from playwright import sync_api

from elastic_pool.history import History, Sample
from elastic_pool.policies import LatencyTarget, Policy
from elastic_pool.pool_page import add_pool_page
from elastic_pool.tests.controller_test import controller, model  # noqa: F401 (a fixture)
from elastic_pool.tests.fakes import SaidQueue
from emotion.tests.page import CHROMIUM, FLAGS, TIMEOUT_MS

expect = sync_api.expect


@contextmanager
def served(pool: Any) -> Iterator[str]:
    """The page's address; the server ends although somebody still watches."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)  # This one has Playwright's loop.
    thread.start()

    async def start() -> web.AppRunner:
        app = web.Application()
        add_pool_page(app, pool)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=5)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner

    try:
        runner = asyncio.run_coroutine_threadsafe(start(), loop).result()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/pool"
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture
def page() -> Iterator[Any]:
    """It must not say anything on the console, nor ask anybody else."""
    bad: list[str] = []
    sync_api.expect.set_options(timeout=TIMEOUT_MS)
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        opened = browser.new_page(viewport={"width": 1200, "height": 900})
        opened.set_default_timeout(TIMEOUT_MS)
        opened.on("console", lambda message: bad.append(f"{message.type}: {message.text}"))
        opened.on("pageerror", lambda error: bad.append(f"error: {error}"))
        opened.on(
            "request",
            lambda request: None if request.url.startswith(("http://127.0.0.1:", "data:")) else bad.append(request.url),
        )
        yield opened
        browser.close()
    assert bad == []


def number(page: Any, name: str) -> Any:
    return page.locator(f"dd[data-of={name}]")


def test_the_page_follows_the_pool(page: Any, model: Path) -> None:  # noqa: F811
    queue = SaidQueue(0)
    with controller(model, queue) as pool, served(pool) as url:
        page.goto(url)  # Without the slash, which comes by itself.
        expect(page.locator("#policy")).to_have_text("latency target")
        expect(page.locator("#state")).to_have_text("running")
        expect(number(page, "running")).to_have_text("0")
        queue.set(30, 2)
        expect(number(page, "waiting")).to_have_text("30")
        expect(number(page, "in_flight")).to_have_text("2")
        expect(number(page, "running")).to_have_text("2")
        victim = pool.pids()[0]
        os.kill(victim, signal.SIGKILL)
        expect(page.locator("#deaths li")).to_have_text([re.compile(rf"\(process {victim}\): killed by SIGKILL")])
        queue.trouble = "queue work: could not connect"
        expect(page.locator("#state")).to_have_text(queue.trouble)
        queue.trouble = ""
        queue.set(0)
        expect(number(page, "running")).to_have_text("0")
        expect(number(page, "died")).to_have_text("1")
        for name in ("waiting", "in_flight", "running", "oldest_age_s", "dollars"):
            drawn = page.locator(f"path[data-of={name}]").get_attribute("d")
            assert len(re.findall("[LH]", drawn)) > 5, f"{name}: {drawn}"
        page.goto("about:blank")


class ShownBefore:
    """A pool that has been watched."""

    policy: Policy = LatencyTarget()
    failure = ""

    def __init__(self, *times_s: float) -> None:
        self.history = History()
        for time_s in times_s:
            self.history.add(Sample(time_s, waiting=round(time_s)))

    def deaths(self) -> list[str]:
        return ["worker 1: <b>words</b>"]


def first_event(url: str, headers: dict[str, str]) -> tuple[str, Any]:
    """Its id and what it says."""
    with urllib.request.urlopen(urllib.request.Request(f"{url}/events", headers=headers)) as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        identifier, data = answer.readline().decode(), answer.readline().decode()
    return identifier.removeprefix("id: ").strip(), json.loads(data.removeprefix("data: "))


def test_who_comes_back_gets_only_what_is_new() -> None:
    with served(ShownBefore(1.0, 2.0, 3.5)) as url:
        identifier, news = first_event(url, {})
        assert [sample["time_s"] for sample in news["samples"]] == [1.0, 2.0, 3.5]
        assert (identifier, news["policy"]) == (f"{news['run']}:3.5", "latency target")
        _, news = first_event(url, {"Last-Event-ID": f"{news['run']}:2.0"})
        assert [sample["time_s"] for sample in news["samples"]] == [3.5]


@pytest.mark.parametrize("identifier", ["another-run:5000.0", "5000.0", "yesterday", ""])
def test_who_comes_from_another_run_gets_everything(identifier: str) -> None:
    with served(ShownBefore(1.0, 2.0)) as url:
        _, news = first_event(url, {"Last-Event-ID": identifier})
        assert [sample["time_s"] for sample in news["samples"]] == [1.0, 2.0]


@pytest.mark.parametrize(("path", "status"), [("no.html", 404), ("..%2fpool.py", 404), ("%2e%2e/pool.py", 404)])
def test_there_is_nothing_else(path: str, status: int) -> None:
    with served(ShownBefore(1.0)) as url, pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{url}/{path}")
    assert refused.value.code == status


def test_a_wrong_event_id_is_refused() -> None:
    with served(ShownBefore(1.0)) as url:
        _, news = first_event(url, {})
        with pytest.raises(urllib.error.HTTPError) as refused:
            first_event(url, {"Last-Event-ID": f"{news['run']}:yesterday"})
    assert refused.value.code == 400


def test_so_many_may_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elastic_pool.pool_page._MAX_WATCHERS", 1)
    with served(ShownBefore(1.0)) as url:
        with urllib.request.urlopen(f"{url}/events") as first:
            assert first.readline().endswith(b":1.0\n")
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(f"{url}/events")
            assert refused.value.code == 503


def test_latency_is_shown_as_far_as_it_is_known(page: Any) -> None:
    pool = ShownBefore(1.0)
    with served(pool) as url:
        page.goto(f"{url}/")
        expect(number(page, "latency_s")).to_have_text("–")
        pool.history.add(Sample(2.0, answered=3, latency_s=1.02))
        expect(number(page, "latency_s")).to_have_text("< 1.02")
        expect(number(page, "answered")).to_have_text("3")
        page.goto("about:blank")


def test_words_of_workers_are_no_markup(page: Any) -> None:
    with served(ShownBefore(1.0)) as url:
        page.goto(f"{url}/")
        expect(page.locator("#deaths li")).to_have_text(["worker 1: <b>words</b>"])
        page.goto("about:blank")
