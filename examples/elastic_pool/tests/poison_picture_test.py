# SPDX-License-Identifier: Apache-2.0
"""An upload with a picture that no worker has memory for: it ends as a dead letter, the others as labels."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer
from playwright import sync_api

import splitnet
from elastic_pool.classifiers import Classifier, classifier
from elastic_pool.classifying import Classifying
from elastic_pool.job_store import JobStore, Result
from elastic_pool.photos import varied_photos
from elastic_pool.tests.greedy_pool import DELIVERIES, QUEUE, dead_letters, greedy_pool, white_picture
from elastic_pool.tests.places import BUCKET, MODEL
from elastic_pool.upload import Limits
from elastic_pool.web import make_app
from elastic_pool.web_client import WebClient
from elastic_pool.web_tier import WebTier
from emotion.tests.page import CHROMIUM, FLAGS, TIMEOUT_MS
from local_aws import LocalAws

POISON = "white.png"
POISON_INDEX = 3
TIMEOUT_S = 120.0


def labelled_here(photos: dict[str, bytes]) -> dict[str, str]:
    """By the network alone, which has the same answers."""
    one = classifier(MODEL)
    with splitnet.Session(splitnet.Partitioner(one.model_file()), threads=1) as session:
        return {name: one.label(session(one.pixels(file))).name for name, file in photos.items()}


def uploaded(url: str, pictures: dict[str, bytes]) -> tuple[list[Result], dict[str, str], dict[str, str]]:
    """The results, the file of labels, and what the page says of each picture when all are answered."""
    client = WebClient(url)
    job = client.upload(pictures.items())
    results = sorted(client.follow(job, TIMEOUT_S), key=lambda one: one.index)
    return results, dict(client.labels(job)[1:]), on_page(f"{url}{job}", len(pictures))


def on_page(url: str, count: int) -> dict[str, str]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page()
        page.set_default_timeout(TIMEOUT_MS)
        page.goto(url)
        sync_api.expect(page.locator("#status")).to_have_text(f"{count} of {count} answered", timeout=TIMEOUT_MS)
        rows = [row.get_by_role("cell").all_inner_texts() for row in page.locator("#rows tr").all()]
        browser.close()
    return {row[1]: row[2] for row in rows}


async def through_the_web_tier(
    greedy: Classifier, pictures: dict[str, bytes]
) -> tuple[list[Result], dict[str, str], dict[str, str]]:
    store = JobStore(BUCKET)
    tier = WebTier(store, Classifying(store, greedy, f"sqs://{QUEUE}"), Limits(), "")
    async with TestServer(make_app(tier)) as server:
        return await asyncio.to_thread(uploaded, str(server.make_url("")).rstrip("/"), pictures)


def test_a_poison_picture_is_a_dead_letter_and_the_others_get_labels(
    exported: None, aws: LocalAws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in aws.environment.items():
        monkeypatch.setenv(name, value)
    photos = {photo.name: photo.file for photo in varied_photos(8)}
    names = list(photos)
    names.insert(POISON_INDEX, POISON)
    pictures = {**photos, POISON: white_picture()}
    with greedy_pool(tmp_path, aws.environment) as greedy:
        found = through_the_web_tier(greedy, {name: pictures[name] for name in names})
        results, labels, page = asyncio.run(found)
    poison = results.pop(POISON_INDEX)
    assert {one.picture: one.label for one in results} == labelled_here(photos)
    (reason,) = dead_letters(aws.environment)
    assert reason.startswith(f"{DELIVERIES} deliveries") and "memory" in reason
    assert (poison.picture, poison.label) == (POISON, "") and poison.error.endswith(reason)
    said = {**labelled_here(photos), POISON: f"error: {poison.error}"}
    assert labels == said == page
