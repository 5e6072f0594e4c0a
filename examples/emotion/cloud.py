# SPDX-License-Identifier: Apache-2.0
"""The two functions and the bucket of this example, on the stand-in for AWS on this machine."""

from __future__ import annotations

import sys
from pathlib import Path

import splitnet
from common.package_files import ROOT
from emotion.local_platform import example_faces
from emotion.network import blocks_of
from emotion.object_keys import PHOTOS
from emotion.settings import MODELS
from local_aws import Function, LocalAws, S3Trigger, tail_function

TAIL = "emotion-tail"
WHOLE = "emotion-whole"
BUCKET = "photos"
MEMORY_MEGABYTES = 1769  #: At which Lambda gives a function one whole CPU.
BLOCKS_IN_CLOUD = (5, 4, 3)  #: The cuts that are likely, as in the report: the tail cuts these stages while it starts.
AT_ONCE = 2  #: Execution environments of each function.


def emotion_cloud(models: Path = MODELS, token: str = "") -> LocalAws:
    """The tail is splitnet's worker as a custom runtime; the whole model, with its search for faces, is the baseline.

    `token`: what callers of the tail's URL have to show. Raises FileNotFoundError, RuntimeError (see tail_function).
    """
    tail = tail_function(
        TAIL,
        models / "emotion.pt",
        inputs=["1x1x64x64"],
        cuts=_likely_cuts(models),
        memory_megabytes=MEMORY_MEGABYTES,
        timeout_s=15,
        concurrency=AT_ONCE,
        token=token,
    )
    whole = Function(
        name=WHOLE,
        command=[sys.executable, "-W", "ignore", "-m", "awslambdaric", "emotion.baseline.handler"],
        environment={"EMOTION_MODELS": str(models), "PYTHONPATH": str(ROOT / "examples")},
        memory_megabytes=MEMORY_MEGABYTES,
        timeout_s=60,
        concurrency=AT_ONCE,
    )
    return LocalAws(
        functions=[tail, whole],
        buckets=[BUCKET],
        triggers=[S3Trigger(bucket=BUCKET, function=WHOLE, prefix=PHOTOS)],
    )


def _likely_cuts(models: Path) -> list[str]:
    """As the worker's --cut has them."""
    blocks = blocks_of(splitnet.Partitioner(models / "emotion.pt", [example_faces(models)[0]]))
    return [str(blocks[-count].first - 1) for count in BLOCKS_IN_CLOUD]
