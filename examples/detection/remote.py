# SPDX-License-Identifier: Apache-2.0
"""The function behind the bucket: a new picture, the whole network in plain torch, an item in DynamoDB.

    python -m awslambdaric detection.remote.handler

The item's key is `picture_url` (s3://BUCKET/KEY); it has `objects` and `inference_time`, or an `error`, and
`execution_time`: what the function took until the item was ready. Times are milliseconds. In the environment:
DETECTION_TABLE, the table's name, and DETECTION_MODELS, the folder of the model's files, where it is not build/models.

Events may come twice, and late: what was done for this content of the object is not done again.
"""

from __future__ import annotations

import os
import time
import urllib.parse
from decimal import Decimal
from pathlib import Path
from typing import Any

import botocore.exceptions  # type: ignore[import-untyped]
import torch

from common.aws_client import aws_client, aws_table
from common.pictures import BYTES_PER_PIXEL, PictureError
from detection import model_files
from detection.boxes import MAX_FILE_BYTES
from detection.detector import Answer, Detector, in_plain_torch

_FULL_CORE_MEGABYTES = 1769  # With less, a function has a part of one core.
_OWN_MEGABYTES = 384 + MAX_FILE_BYTES // 2**20  # Torch, the network and its values, the file; the rest is for pixels.


def _start() -> Detector:
    memory_megabytes = int(os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"])
    torch.set_num_threads(max(1, memory_megabytes // _FULL_CORE_MEGABYTES))
    max_decoded_pixels = (memory_megabytes - _OWN_MEGABYTES) * 2**20 // BYTES_PER_PIXEL
    if max_decoded_pixels <= 0:
        raise ValueError(f"the function has {memory_megabytes} MB, expected more than {_OWN_MEGABYTES}")
    folder = Path(os.environ.get("DETECTION_MODELS", model_files.FOLDER))
    network = in_plain_torch(model_files.plain_network(folder))
    return Detector(network, model_files.class_names(folder), max_decoded_pixels)


_DETECTOR = _start()  # Once for each execution environment, while it starts.
_S3: Any = aws_client("s3", attempts=3)
_TABLE: Any = aws_table(os.environ["DETECTION_TABLE"], attempts=3)


def handler(event: dict[str, Any], context: object) -> None:
    """An event of S3. Raises what may be different the next time: Lambda then tries again."""
    for record in event["Records"]:
        stored = record["s3"]
        _detect(stored["bucket"]["name"], urllib.parse.unquote_plus(stored["object"]["key"]))


def _detect(bucket: str, key: str) -> None:
    begun_s = time.perf_counter()
    url = f"s3://{bucket}/{key}"
    try:
        stored = _S3.get_object(Bucket=bucket, Key=key)
    except botocore.exceptions.ClientError as error:
        if error.response["Error"]["Code"] not in ("NoSuchKey", "NoSuchBucket"):
            raise
        print(f"{url!r} is gone: nothing to do")
        return
    known = _TABLE.get_item(Key={"picture_url": url}, ConsistentRead=True).get("Item", {})
    if known.get("etag") == stored["ETag"]:
        print(f"{url!r} was done before")
        return
    item = {"picture_url": url, "etag": stored["ETag"], **_found(stored)}
    _TABLE.put_item(Item=item | {"execution_time": _milliseconds(time.perf_counter() - begun_s)})


def _found(stored: dict[str, Any]) -> dict[str, Any]:
    if stored["ContentLength"] > MAX_FILE_BYTES:
        words = f"found {stored['ContentLength']} bytes, expected a picture of at most {MAX_FILE_BYTES}"
        return {"objects": [], "error": words}
    try:
        answer = _DETECTOR.detect(stored["Body"].read())
    except PictureError as error:  # The next try would find the same: no retry, and no dead letter.
        return {"objects": [], "error": str(error)}
    return {"objects": _objects(answer), "inference_time": _milliseconds(answer.inference_s)}


def _objects(answer: Answer) -> list[dict[str, Any]]:
    return [
        {
            "label": one.label,
            "accuracy": Decimal(f"{one.accuracy:.4f}"),
            "box": [Decimal(f"{edge:.1f}") for edge in one.box],
        }
        for one in answer.objects
    ]


def _milliseconds(time_s: float) -> Decimal:
    return Decimal(f"{time_s * 1e3:.3f}")
