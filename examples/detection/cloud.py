# SPDX-License-Identifier: Apache-2.0
"""What runs at AWS: two functions, a bucket whose new objects start one of them, and its table; here on stand-ins."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from common.package_files import ROOT
from detection import boxes, model_files
from local_aws import Function, LocalAws, S3Trigger

WHOLE = "detection-whole"  #: detection.remote: the whole network, picture by picture from the bucket.
TAIL = "detection-tail"  #: splitnet's worker: what a session cuts off.
BUCKET = "detection-pictures"
TABLE = "detections"
AT_ONCE = 2  #: Execution environments of each function.


@dataclass(frozen=True)
class Sizes:
    """Of the functions. A function's share of a core grows with its memory: all of one at 1,769 MB."""

    whole_megabytes: int = 512  # As in the report that this example follows.
    whole_timeout_s: int = 15  # Likewise.
    tail_megabytes: int = 1769
    tail_timeout_s: int = 30


def started(folder: Path = model_files.FOLDER, sizes: Sizes = Sizes()) -> LocalAws:
    """To be used in a `with`. Its `environment` is what clients and splitnet need."""
    whole = Function(
        name=WHOLE,
        command=[sys.executable, "-W", "ignore", "-m", "awslambdaric", "detection.remote.handler"],
        environment={
            "PYTHONPATH": str(ROOT / "examples"),
            "DETECTION_TABLE": TABLE,
            "DETECTION_MODELS": str(folder),
        },
        memory_megabytes=sizes.whole_megabytes,
        timeout_s=sizes.whole_timeout_s,
        concurrency=AT_ONCE,
    )
    shape = f"1x3x{boxes.SIDE}x{boxes.SIDE}"
    worker = [str(worker_program()), str(model_files.model_file(folder)), "--input", shape, "--threads", "1"]
    tail = Function(
        name=TAIL,
        command=[*worker, "--listen", "lambda-runtime://"],
        environment={},
        memory_megabytes=sizes.tail_megabytes,
        timeout_s=sizes.tail_timeout_s,
        concurrency=AT_ONCE,
    )
    return LocalAws(
        functions=[whole, tail],
        buckets=[BUCKET],
        tables=[(TABLE, "picture_url")],
        triggers=[S3Trigger(bucket=BUCKET, function=WHOLE, prefix="")],
    )


def worker_program() -> Path:
    """Raises FileNotFoundError."""
    program = ROOT / "build/release/splitnet-worker"
    if not program.exists():
        raise FileNotFoundError(f"{program} is missing: scripts/build release makes it")
    return program
