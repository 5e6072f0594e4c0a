# SPDX-License-Identifier: Apache-2.0
"""What the tests of the detection example share."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import splitnet
from common.package_files import ROOT

sys.path.append(str(ROOT / "examples/lambda"))  # local_aws: a folder named lambda can be no package.

from detection import model_files
from detection.detector import Detector, in_session


@pytest.fixture(scope="session", autouse=True)
def exported() -> None:
    """The model and the photos are there."""
    subprocess.run([ROOT / ".venv/bin/python", ROOT / "examples/detection/export_model.py"], check=True)


@pytest.fixture(scope="session")
def names(exported: None) -> list[str]:
    return model_files.class_names()


@pytest.fixture(scope="session")
def photos(exported: None) -> dict[str, Path]:
    """Files by name: cat, coffee, …"""
    return {path.stem: path for path in model_files.sample_photos()}


@pytest.fixture(scope="session")
def part(exported: None) -> splitnet.Partitioner:
    return model_files.partitioner()


@pytest.fixture(scope="session")
def session(part: splitnet.Partitioner) -> Iterator[splitnet.Session]:
    """On this device only."""
    with splitnet.Session(part, threads=1) as opened:
        yield opened


@pytest.fixture(scope="session")
def detector(session: splitnet.Session, names: list[str]) -> Detector:
    return Detector(in_session(session), names)


@pytest.fixture(scope="session")
def worker(part: splitnet.Partitioner) -> Iterator[splitnet.Worker]:
    with splitnet.Worker(part, threads=1) as started:
        yield started
