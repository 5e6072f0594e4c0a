# SPDX-License-Identifier: Apache-2.0
"""What the tests share: the exported models, a worker that has two of them, S3 on loopback."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

import splitnet
from common.package_files import ROOT

sys.path.append(str(ROOT / "examples/lambda"))  # local_aws: a folder named lambda can be no package.

from elastic_pool.classifiers import EXPORTS, classifier
from local_aws import LocalAws

BUCKET = "results"
SERVED = ("mobilenet_v2", "emotion")


@pytest.fixture(scope="session")
def models() -> None:
    for script in EXPORTS:
        subprocess.run([ROOT / ".venv/bin/python", script], check=True)


@pytest.fixture(scope="session")
def worker(models: None) -> Iterator[splitnet.Worker]:
    served = {name: splitnet.Partitioner(classifier(name).model_file()) for name in SERVED}
    with splitnet.Worker(served, threads=1) as started:
        yield started


@pytest.fixture(scope="session")
def aws() -> Iterator[LocalAws]:
    with LocalAws(buckets=[BUCKET]) as started:
        yield started
