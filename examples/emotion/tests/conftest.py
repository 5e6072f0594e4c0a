# SPDX-License-Identifier: Apache-2.0
"""What the tests share: the exported network, a photo with one face, and a worker."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

import splitnet
from common.package_files import ROOT, package_file
from emotion.faces import Face, find_faces, open_photo
from emotion.settings import MODELS

sys.path.insert(0, str(ROOT / "examples/lambda"))  # local_aws


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
