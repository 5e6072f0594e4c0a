# SPDX-License-Identifier: Apache-2.0
"""The client of the baseline: sends the whole photo to S3 and waits for the answer of the function that this starts."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass

from common.aws_client import aws_client
from common.pictures import PictureError
from emotion.object_keys import answer_key, photo_key

_POLL_S = 0.02


@dataclass(frozen=True)
class WholePhotoAnswer:
    """What came back, and what it took."""

    boxes: list[tuple[int, int, int, int]]  #: Left, top, width, height of each face, the largest first.
    probabilities: list[list[float]]  #: Seven for each face.
    upload_s: float
    fetch_s: float  #: The function reads the photo from S3.
    search_s: float  #: It looks for faces.
    network_s: float  #: All layers, all faces.
    total_s: float  #: From the photo to the answer, here.
    sent_bytes: int  #: The photo.
    received_bytes: int  #: The answer.
    polls: int  #: Requests to S3 for the answer.


class WholePhoto:
    """Sends photos to one bucket. Credentials and endpoints are those of the standard environment."""

    def __init__(self, bucket: str) -> None:
        self._bucket = bucket
        self._s3 = aws_client("s3", attempts=1)  # A time that is measured is one try's.

    def recognise(self, photo: bytes, timeout_s: float = 60) -> WholePhotoAnswer:
        """Neither photo nor answer stays in the bucket, unless the function answers after the time was over.

        Raises PictureError (as the function says), TimeoutError, botocore's errors (no such bucket, no connection; may not
        list the bucket, without which S3 does not say that an object is not there yet).
        """
        sent = photo_key(uuid.uuid4().hex)
        awaited = answer_key(sent)
        started_s = time.monotonic()
        self._s3.put_object(Bucket=self._bucket, Key=sent, Body=photo, ContentType="application/octet-stream")
        uploaded_s = time.monotonic()
        try:
            answer, polls = self._wait(awaited, started_s + timeout_s)
            answered_s = time.monotonic()
        finally:
            for key in (sent, awaited):
                self._s3.delete_object(Bucket=self._bucket, Key=key)
        found = json.loads(answer)
        if "error" in found:
            raise PictureError(found["error"])
        return WholePhotoAnswer(
            boxes=[tuple(face["box"]) for face in found["faces"]],
            probabilities=[face["probabilities"] for face in found["faces"]],
            upload_s=uploaded_s - started_s,
            fetch_s=found["fetch_s"],
            search_s=found["search_s"],
            network_s=found["network_s"],
            total_s=answered_s - started_s,
            sent_bytes=len(photo),
            received_bytes=len(answer),
            polls=polls,
        )

    def _wait(self, key: str, until_s: float) -> tuple[bytes, int]:
        polls = 0
        while time.monotonic() < until_s:
            polls += 1
            try:
                answer: bytes = self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read()
                return answer, polls
            except self._s3.exceptions.NoSuchKey:
                time.sleep(_POLL_S)
        raise TimeoutError(f"no object {key} in bucket {self._bucket} in time: does its trigger start the function?")
