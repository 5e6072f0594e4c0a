# SPDX-License-Identifier: Apache-2.0
"""What the tests of the image share: an image with two small models, and functions in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import assemble_image
from local_aws import LocalAws, image_function

WORKER = Path(__file__).resolve().parents[3] / "build/release/splitnet-worker"
BUCKET = "bodies"
TOKEN = "a-token-of-the-tests-of-the-image"


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory, model: Path, wide_model: Path) -> Path:
    assert WORKER.is_file(), f"{WORKER} is missing; scripts/build release makes it"
    out = tmp_path_factory.mktemp("image") / "root"
    models = [assemble_image.parse_model(str(path)) for path in (model, wide_model)]
    return assemble_image.assemble(WORKER, models, out, ["small=1x3x16x16"])


@pytest.fixture(scope="session")
def store() -> str:
    """As SPLITNET_STORE has it."""
    return f"s3://{BUCKET}/while-they-travel"


@pytest.fixture(scope="module")
def aws(image: Path, store: str) -> Iterator[LocalAws]:
    """Functions in the image: `small` and `wide` with a store, `small-bare` and `wide-bare` without one.

    Clients in this process talk to it.
    """
    functions = [image_function(name, image, name, store=store, token=TOKEN) for name in ("small", "wide")]
    functions += [image_function(f"{name}-bare", image, name) for name in ("small", "wide")]
    with LocalAws(functions=functions, buckets=[BUCKET]) as started, pytest.MonkeyPatch.context() as patch:
        for name, value in started.environment.items():
            patch.setenv(name, value)
        yield started
