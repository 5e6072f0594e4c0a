# SPDX-License-Identifier: Apache-2.0
"""What the tests share: models, S3 and SQS on loopback, a worker, and the web tier before it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

import splitnet
from common.package_files import ROOT
from common.server_process import ServerProcess, running_server
from elastic_pool.classifiers import EXPORTS, classifier
from elastic_pool.tests.places import BUCKET, MODEL
from local_aws import LocalAws

StartWeb = Callable[..., AbstractContextManager[ServerProcess]]


@pytest.fixture(scope="session")
def exported() -> None:
    """The classifiers' files are there."""
    for script in EXPORTS:
        subprocess.run([ROOT / ".venv/bin/python", script], check=True)


@pytest.fixture(scope="session")
def aws() -> Iterator[LocalAws]:
    with LocalAws(buckets=[BUCKET]) as started:
        yield started


@pytest.fixture(scope="session")
def worker(exported: None) -> Iterator[splitnet.Worker]:
    with splitnet.Worker(splitnet.Partitioner(classifier(MODEL).model_file()), threads=1) as served:
        yield served


@pytest.fixture(scope="session")
def start_web(aws: LocalAws, worker: splitnet.Worker) -> StartWeb:
    """Starts a web tier with these options, before the worker unless they name another."""

    def start(*options: str) -> AbstractContextManager[ServerProcess]:
        at = ("--bucket", BUCKET, "--worker", worker.address, "--model", MODEL)
        return running_server("elastic_pool.web", *at, *options, environment=aws.environment)

    return start


@pytest.fixture(scope="session")
def web(start_web: StartWeb) -> Iterator[ServerProcess]:
    """One for all tests, with small limits."""
    limits = ("--pictures", "300", "--picture-bytes", str(2**20), "--total-bytes", str(64 * 2**20), "--silence-s", "1")
    with start_web(*limits) as started:
        yield started
