# SPDX-License-Identifier: Apache-2.0
"""All of S2 on this machine: object storage, a queue, workers that come and go, and the web tier."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from common.environment import in_environment
from common.package_files import ROOT
from common.server_process import running_server
from elastic_pool.classifiers import Classifier
from elastic_pool.controller import Controller, queue_pool
from elastic_pool.policies import Policy
from elastic_pool.real_run import WORKER_ARGUMENTS
from local_aws import LocalAws
from local_aws.moto_server import MotoServer
from local_aws.tail_function import prepared_model

BUCKET = "pictures"
QUEUE = "classify"
_WORKER = ROOT / "examples/elastic_pool/limited_worker"


class QueueServer:
    """SQS on loopback, in a process of its own, which can be lost and come back empty."""

    def __init__(self) -> None:
        self._server = MotoServer()
        self._server.wait()

    @property
    def url(self) -> str:
        return self._server.url

    def restart(self) -> None:
        """Killed, and started again at the same address; what it had in memory is gone, queues included."""
        self._server.stop()
        self._server = MotoServer(self._server.port)
        self._server.wait()

    def close(self) -> None:
        self._server.stop()


@dataclass(frozen=True)
class Cloud:
    """What runs."""

    web: str  #: Address of the web tier.
    pool: Controller
    queues: QueueServer
    environment: Mapping[str, str]  #: For clients.


@contextmanager
def running_cloud(classifier: Classifier, policy: Policy, port: int = 0, pool_page: str = "") -> Iterator[Cloud]:
    """All on loopback; at the end all has ended. `pool_page`: the address that the web tier tells people.

    The environment of this process is that of the clients meanwhile. Raises QueueError, RuntimeError, OSError.
    """
    with LocalAws(buckets=[BUCKET]) as aws:
        queues = QueueServer()
        try:
            environment = {**aws.environment, "AWS_ENDPOINT_URL_SQS": queues.url}
            model = f"{classifier.name}={prepared_model(classifier.model_file())}"
            pool = queue_pool([model], QUEUE, policy, environment, WORKER_ARGUMENTS, program=_WORKER)
            options = (
                "--bucket",
                BUCKET,
                "--worker",
                f"sqs://{QUEUE}",
                "--model",
                classifier.name,
                "--pool",
                pool_page,
            )
            with (
                in_environment(environment),
                pool,
                running_server("elastic_pool.web", *options, "--port", str(port), environment=environment) as web,
            ):
                yield Cloud(web.url, pool, queues, environment)
        finally:
            queues.close()
