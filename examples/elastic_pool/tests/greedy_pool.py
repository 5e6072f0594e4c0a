# SPDX-License-Identifier: Apache-2.0
"""Workers behind a queue with a network that wants far more memory for a white picture than they have."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from PIL import Image

from common.aws_client import aws_client
from common.package_files import ROOT
from elastic_pool.classifiers import Classifier, classifier
from elastic_pool.controller import queue_pool
from elastic_pool.policies import LatencyTarget
from elastic_pool.real_run import WORKER_ARGUMENTS
from elastic_pool.tests.places import MODEL
from local_aws.tail_function import prepared_model

QUEUE = "greedy"
DELIVERIES = 2  #: Of a request before it is a dead letter.


class Greedy(torch.nn.Module):
    """MobileNetV2 with its answers, beside a step whose memory grows with the square of what it finds, as where a detector
    compares each of its boxes with each other: 4 bytes for each pair of white pixels, 10 GB for a white picture."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        blue = x[:, 2]
        white = torch.masked_select(blue, blue > 2.63)  # As MobileNetV2 sees it, 255 is 2.64 and 254 is 2.62.
        pairs = white.unsqueeze(0) * white.unsqueeze(1)
        answers: torch.Tensor = self.network(x)
        return answers + 0.0 * pairs.sum()


def white_picture() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (300, 300), "white").save(stream, "PNG")
    return stream.getvalue()


@contextmanager
def greedy_pool(folder: Path, environment: Mapping[str, str]) -> Iterator[Classifier]:
    """Its workers come and go behind sqs://QUEUE; the folder gets the network's files."""
    network = torch.jit.load(classifier(MODEL).model_file())  # type: ignore[no-untyped-call]
    file = folder / f"{QUEUE}.pt"
    torch.jit.save(torch.jit.script(Greedy(network).eval()), file)
    greedy = dataclasses.replace(classifier(MODEL), name=QUEUE, file=file)
    models = [f"{QUEUE}={prepared_model(file)}"]
    arguments = (*WORKER_ARGUMENTS, "--sqs-max-deliveries", str(DELIVERIES))
    limited = ROOT / "examples/elastic_pool/limited_worker"
    with queue_pool(models, QUEUE, LatencyTarget(max_workers=2), environment, arguments, program=limited):
        yield greedy


def dead_letters(environment: Mapping[str, str]) -> list[str]:
    """Their reasons."""
    sqs = aws_client("sqs", environment)
    queue = sqs.get_queue_url(QueueName=f"{QUEUE}-dead")["QueueUrl"]
    found = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, MessageAttributeNames=["All"])
    return [one["MessageAttributes"]["reason"]["StringValue"] for one in found.get("Messages", [])]
