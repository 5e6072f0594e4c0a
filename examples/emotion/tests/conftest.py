# SPDX-License-Identifier: Apache-2.0
"""What the tests share: the exported network, a photo with one face, a worker, the stand-in for AWS, a browser."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright import sync_api

import splitnet
from common.package_files import ROOT, package_file
from common.server_process import ServerProcess

sys.path.append(str(ROOT / "examples/lambda"))  # local_aws: a folder named lambda can be no package.

from emotion.cloud import emotion_cloud
from emotion.faces import Face, find_faces, open_photo
from emotion.settings import MODELS
from emotion.tests.page import CHROMIUM, FLAGS, TIMEOUT_MS, Show
from local_aws import LocalAws

TOKEN = "a-token-that-callers-of-the-url-show"


@pytest.fixture(scope="session")
def models() -> Path:
    subprocess.run([ROOT / ".venv/bin/python", ROOT / "examples/emotion/export_model.py"], check=True)
    return MODELS


@pytest.fixture(scope="session")
def photo(models: Path) -> bytes:
    return (models / "emotion_photo.jpg").read_bytes()


@pytest.fixture(scope="session")
def astronaut() -> Image.Image:
    """512 x 512, RGB, one face of 95 pixels."""
    return Image.open(package_file("skimage/data/astronaut.png")).convert("RGB")


@pytest.fixture(scope="session")
def face(photo: bytes) -> Face:
    return find_faces(open_photo(photo))[0]


@pytest.fixture(scope="session")
def part(models: Path, face: Face) -> splitnet.Partitioner:
    return splitnet.Partitioner(models / "emotion.pt", [face.pixels])


@pytest.fixture(scope="module")
def worker(part: splitnet.Partitioner) -> Iterator[splitnet.Worker]:
    with splitnet.Worker(part, threads=1) as served:
        yield served


@pytest.fixture(scope="session")
def aws(models: Path) -> Iterator[LocalAws]:
    """One for all tests."""
    with emotion_cloud(models, TOKEN) as started:
        yield started


@pytest.fixture
def as_client(aws: LocalAws, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients in this process talk to `aws`."""
    for name, value in aws.environment.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def browser(photo: bytes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Its camera sees the astronaut. Not for longer than a module: as long as it is there, an event loop runs in this thread."""
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
def show(browser: Any, server: ServerProcess) -> Iterator[Show]:
    """Opens the page; at the end it must not have said anything on the console nor asked anybody else."""
    contexts: list[Any] = []
    bad: list[str] = []
    sync_api.expect.set_options(timeout=TIMEOUT_MS)

    def open_page(url: str = server.url, width: int = 1280, scheme: str = "light") -> Any:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        context.set_default_timeout(TIMEOUT_MS)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: bad.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: bad.append(f"error: {error}"))
        page.on("request", lambda request: bad.append(request.url) if is_elsewhere(request.url, url) else None)
        page.goto(url)
        sync_api.expect(page.get_by_text("A photo with a face")).to_be_visible()
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert bad == []


def is_elsewhere(url: str, own: str) -> bool:
    return not url.startswith((own, own.replace("http", "ws"), "data:", "blob:"))
