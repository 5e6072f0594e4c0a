# SPDX-License-Identifier: Apache-2.0
"""The two functions and the bucket of this example, on the stand-in for AWS on this machine."""

from __future__ import annotations

import sys
from pathlib import Path

from emotion.object_keys import PHOTOS
from emotion.settings import MODELS
from local_aws import Function, LocalAws, S3Trigger

TAIL = "emotion-tail"
WHOLE = "emotion-whole"
BUCKET = "photos"
MEMORY_MEGABYTES = 1769  #: At which Lambda gives a function one whole CPU.

_ROOT = Path(__file__).resolve().parents[2]


def emotion_cloud(models: Path = MODELS, worker: Path = _ROOT / "build/release/splitnet-worker") -> LocalAws:
    """The tail is splitnet's worker as a custom runtime; the whole model, with its search for faces, is the baseline."""
    return LocalAws(
        functions=[
            Function(
                name=TAIL,
                command=[
                    *(str(worker), str(models / "emotion.pt"), "--input", "1x1x64x64", "--threads", "1"),
                    *("--listen", "lambda-runtime://"),
                ],
                environment={},
                memory_megabytes=MEMORY_MEGABYTES,
                timeout_s=15,
                concurrency=2,
            ),
            Function(
                name=WHOLE,
                command=[sys.executable, "-m", "awslambdaric", "emotion.baseline.handler"],
                environment={"EMOTION_MODELS": str(models), "PYTHONPATH": str(_ROOT / "examples")},
                memory_megabytes=MEMORY_MEGABYTES,
                timeout_s=60,
                concurrency=2,
            ),
        ],
        buckets=[BUCKET],
        triggers=[S3Trigger(bucket=BUCKET, function=WHOLE, prefix=PHOTOS)],
    )
