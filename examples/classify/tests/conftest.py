# SPDX-License-Identifier: Apache-2.0
"""What the tests share: the exported models, a worker that has two of them, S3 on loopback, a service with photos."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

import splitnet
from common.package_files import ROOT

sys.path.append(str(ROOT / "examples/lambda"))  # local_aws: a folder named lambda can be no package.

from common.server_process import ServerProcess, running_server
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


@pytest.fixture(scope="session")
def photos() -> Iterator[ServerProcess]:
    with running_server("classify.photo_server", "--count", "2") as started:
        yield started


@pytest.fixture(scope="session")
def service(photos: ServerProcess, worker: splitnet.Worker, aws: LocalAws) -> Iterator[ServerProcess]:
    with running_server(
        "classify.server",
        *("--bucket", BUCKET, "--worker", worker.address),
        *("--allow-address", photos.url.removeprefix("http://"), "--pool-page", "http://127.0.0.1:1/"),
        environment=aws.environment,
    ) as started:
        yield started
