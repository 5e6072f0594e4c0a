# SPDX-License-Identifier: Apache-2.0
"""What runs at AWS: two functions, a bucket whose new objects start one of them, and its table; here on stand-ins."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from common.package_files import ROOT
from detection import boxes, codecs, model_files
from local_aws import Function, LocalAws, S3Trigger, tail_function

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


def started(folder: Path = model_files.FOLDER, sizes: Sizes = Sizes(), token: str = "") -> LocalAws:
    """To be used in a `with`. Its `environment` is what clients and splitnet need.

    `token`: what callers of the tail's URL have to show. Raises FileNotFoundError, RuntimeError (see tail_function).
    """
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
    tail = tail_function(
        TAIL,
        model_files.model_file(folder),
        inputs=[f"1x3x{boxes.SIDE}x{boxes.SIDE}"],
        cuts=codecs.CUTS,
        memory_megabytes=sizes.tail_megabytes,
        timeout_s=sizes.tail_timeout_s,
        concurrency=AT_ONCE,
        token=token,
    )
    return LocalAws(
        functions=[whole, tail],
        buckets=[BUCKET],
        tables=[(TABLE, "picture_url")],
        triggers=[S3Trigger(bucket=BUCKET, function=WHOLE, prefix="")],
    )
