# SPDX-License-Identifier: Apache-2.0
"""The cloud of the example on this machine: workers behind a queue, functions, or TCP; the gallery in S3, the records in
DynamoDB."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.aws_client import aws_client
from common.environment import in_environment
from common.wire_bytes import on_wire
from elastic_pool.worker_process import MOTO_ARGUMENTS, WorkerCommand, WorkerProcess, end_all
from local_aws import LocalAws, tail_function
from video_faces import placing
from video_faces.gallery import MAX_FILE_BYTES, Gallery
from video_faces.placing import DESCRIPTOR, DETECTOR, Networks
from video_faces.records import KEY, Records

BUCKET = "video-faces"
GALLERY_KEY = "gallery.json"
TABLE = "people"
QUEUE = "faces"
TRANSPORTS = ("sqs", "tcp", "lambda")
STORE = f"s3://{BUCKET}/bodies"  #: For what doesn't fit into a message of the queue, or an invocation.

_START_TIMEOUT_S = 120.0
_END_TIMEOUT_S = 40.0
_RECORD_TIMEOUT_S = 2.0  # One thread names all frames, and waits for records.


@dataclass
class Cloud:
    """What runs, and where."""

    aws: LocalAws
    endpoints: dict[str, str]  #: Of each network, by its name.
    spare_endpoints: list[str] = field(default_factory=list)  #: Where to go when those are gone: with TCP.
    workers: list[WorkerProcess] = field(default_factory=list)

    def records(self) -> Records:
        return Records(aws_client("dynamodb", self.aws.environment, timeout_s=_RECORD_TIMEOUT_S), TABLE)

    def save_gallery(self, gallery: Gallery) -> None:
        """Raises botocore's errors, as `load_gallery`."""
        self._s3().put_object(
            Bucket=BUCKET, Key=GALLERY_KEY, Body=gallery.to_bytes(), ContentType="application/octet-stream"
        )

    def load_gallery(self) -> Gallery:
        """Raises ValueError: it is none."""
        body = self._s3().get_object(Bucket=BUCKET, Key=GALLERY_KEY)["Body"]
        return Gallery.from_bytes(body.read(MAX_FILE_BYTES + 1))

    def _s3(self) -> Any:
        return aws_client("s3", self.aws.environment)

    def through(self, link: str) -> dict[str, str]:
        """The endpoints behind a modelled link, as up=20Mbit,down=50Mbit,delay=10ms; empty: as they are."""
        return {name: f"shaped://{link}@{inner}" if link else inner for name, inner in self.endpoints.items()}

    def spares(self, link: str) -> list[str]:
        """Where to go when a worker is gone, likewise."""
        return [f"shaped://{link}@{inner}" if link else inner for inner in self.spare_endpoints]

    def wire_share(self) -> float:
        """Bytes on the wire for a byte of a tensor."""
        return on_wire(self.endpoints[DETECTOR])


@contextmanager
def started(networks: Networks, transport: str, workers: int = 2, models: Path = placing.MODELS) -> Iterator[Cloud]:
    """Until the block ends. `transport` is one of TRANSPORTS. The environment of this process says meanwhile where
    this AWS is, for sessions. Raises RuntimeError, OSError, TimeoutError."""
    if transport not in TRANSPORTS:
        raise ValueError(f"transport {transport!r} is unknown, expected one of {', '.join(TRANSPORTS)}")
    functions = []
    if transport == "lambda":
        functions = [
            tail_function(name.replace("_", "-"), models / f"{name}.pt", inputs=[spec.partition("=")[2]], store=STORE)
            for name, spec in zip((DETECTOR, DESCRIPTOR), placing.worker_inputs(networks), strict=True)
        ]
    with (
        LocalAws(functions, buckets=[BUCKET], tables=[(TABLE, KEY)], queues=[QUEUE]) as aws,
        in_environment({**aws.environment, "SPLITNET_STORE": STORE}),
    ):
        cloud = Cloud(aws, {name: f"lambda://{name.replace('_', '-')}" for name in (DETECTOR, DESCRIPTOR)})
        try:
            if transport != "lambda":
                _start_workers(cloud, networks, transport, workers, models)
            yield cloud
        finally:
            end_all(cloud.workers, _END_TIMEOUT_S)


def _start_workers(cloud: Cloud, networks: Networks, transport: str, count: int, models: Path) -> None:
    arguments = ["--threads", "1"]
    for spec in placing.worker_inputs(networks):
        arguments += ["--input", spec]
    if transport == "sqs":
        arguments += MOTO_ARGUMENTS
    command = WorkerCommand(
        models=placing.model_files(models),
        listen=f"sqs://{QUEUE}" if transport == "sqs" else "tcp://127.0.0.1:0",
        arguments=arguments,
        environment={**cloud.aws.environment, "SPLITNET_STORE": STORE},
    )
    cloud.workers.extend(WorkerProcess(command, number) for number in range(1, count + 1))
    for worker in cloud.workers:
        worker.wait_ready(_START_TIMEOUT_S)
    first, *others = [worker.endpoint for worker in cloud.workers]
    cloud.endpoints = dict.fromkeys((DETECTOR, DESCRIPTOR), first)
    cloud.spare_endpoints = others if transport == "tcp" else []
