# SPDX-License-Identifier: Apache-2.0
"""The system to compare with: the photo goes to S3, which starts this function; the whole model runs in it.

A Lambda handler for the Python runtime (`python -m awslambdaric emotion.baseline.handler`): plain torch, no splitnet. The
answer to `photos/NAME` is the object `answers/NAME.json` of the same bucket. Environment: EMOTION_MODELS, the folder that
has emotion.pt.
"""

from __future__ import annotations

import json
import os
import time
import urllib.parse
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
import torch

from common.pictures import PictureError
from emotion.faces import find_faces, open_photo
from emotion.object_keys import answer_key

MAX_PHOTO_BYTES = 64 * 2**20  #: As the page takes them.

torch.set_num_threads(1)
_network = torch.jit.load(Path(os.environ["EMOTION_MODELS"]) / "emotion.pt")  # type: ignore[no-untyped-call]
_s3: Any = boto3.client("s3")


def handler(event: dict[str, Any], context: object) -> None:
    """Answers every photo that the S3 event names. A photo that can't be used is answered with why, not tried again."""
    for record in event["Records"]:
        bucket = record["s3"]["bucket"]["name"]
        key = urllib.parse.unquote_plus(record["s3"]["object"]["key"])
        try:
            answer = _answer(bucket, key)
        except _s3.exceptions.NoSuchKey:
            print(f"s3://{bucket}/{key} is gone: nobody waits for an answer")
            continue
        _s3.put_object(
            Bucket=bucket,
            Key=answer_key(key),
            Body=json.dumps(answer).encode(),
            ContentType="application/json",
        )


def _answer(bucket: str, key: str) -> dict[str, Any]:
    started_s = time.monotonic()
    stored = _s3.get_object(Bucket=bucket, Key=key)
    if stored["ContentLength"] > MAX_PHOTO_BYTES:
        return {"error": f"found {stored['ContentLength']} bytes, expected a photo of at most {MAX_PHOTO_BYTES}"}
    photo = stored["Body"].read()
    fetched_s = time.monotonic()
    try:
        faces = find_faces(open_photo(photo))
    except PictureError as error:
        return {"error": str(error)}
    found_s = time.monotonic()
    with torch.inference_mode():
        probabilities = [_network(face.pixels)[0].tolist() for face in faces]
    return {
        "faces": [{"box": face.box, "probabilities": found} for face, found in zip(faces, probabilities, strict=True)],
        "fetch_s": fetched_s - started_s,
        "search_s": found_s - fetched_s,
        "network_s": time.monotonic() - found_s,
    }
