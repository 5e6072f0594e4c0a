# SPDX-License-Identifier: Apache-2.0
"""What the tests share: the networks, sessions on this machine, a gallery, the clip, workers with AWS, a browser."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest

from common.package_files import ROOT

sys.path.append(str(ROOT / "examples/lambda"))  # local_aws: a folder named lambda can be no package.

from video_faces import cloud, people, placing
from video_faces.cloud import Cloud
from video_faces.faces import Frame
from video_faces.gallery import Gallery
from video_faces.placing import Networks, Sessions
from video_faces.records import Records
from video_faces.tests.sources import Camera


@pytest.fixture(scope="session")
def models() -> Path:
    subprocess.run([ROOT / ".venv/bin/python", ROOT / "examples/video_faces/export_model.py"], check=True)
    return placing.MODELS


@pytest.fixture(scope="session")
def clip(models: Path) -> str:
    """120 frames of 176x144 pixels, 29.97 a second, with the caller in each."""
    return str(models / "video_faces/caller.mp4")


@pytest.fixture(scope="session")
def frames(models: Path) -> list[Frame]:
    """Of the clip."""
    return list(people.clip_frames(models))


@pytest.fixture
def camera(monkeypatch: pytest.MonkeyPatch) -> Camera:
    """Camera 0: a Video("0") that is opened from now on reads it."""
    found = Camera()
    monkeypatch.setattr(cv2, "VideoCapture", {0: found}.__getitem__)
    return found


@pytest.fixture(scope="session")
def networks(models: Path) -> Networks:
    return placing.load(models)


@pytest.fixture(scope="session")
def here(networks: Networks) -> Iterator[Sessions]:
    """Everything on this device."""
    with placing.on_device(networks) as sessions:
        yield sessions


@pytest.fixture(scope="session")
def gallery(here: Sessions, models: Path) -> Gallery:
    return people.enroll(here, models)


@pytest.fixture(scope="session")
def started(networks: Networks, models: Path) -> Iterator[Cloud]:
    """Two workers, S3, DynamoDB with the records."""
    with cloud.started(networks, "tcp", 2, models) as running:
        records = running.records()
        for record in people.RECORDS:
            records.put(record)
        yield running


@pytest.fixture
def records(started: Cloud) -> Records:
    return started.records()
