# SPDX-License-Identifier: Apache-2.0
"""Pictures through S3: the upload starts the function, its answer appears in DynamoDB."""

from __future__ import annotations

import time
import uuid
from typing import Any

from common.aws_client import AWS_ERRORS, aws_client, aws_table
from detection.boxes import Detection
from detection.route import NotAnswered, Outcome, PictureRefused

_POLL_S = 0.05


class CloudRoute:
    """A bucket whose new objects start detection.remote, and its table. Region, credentials and endpoints are boto3's."""

    def __init__(self, bucket: str, table: str, timeout_s: float = 60.0) -> None:
        self._bucket = bucket
        self._timeout_s = timeout_s
        self._run = uuid.uuid4().hex  # No picture of an earlier run, and so no answer to it, has the same URL.
        try:
            self._s3: Any = aws_client("s3", attempts=3)
            self._table: Any = aws_table(table, attempts=3)
        except AWS_ERRORS as error:
            raise NotAnswered(f"AWS: {error}") from None
        self.reads = 0  #: How often the table was asked; each is paid for.

    def send(self, name: str, data: bytes) -> Outcome:
        key = f"{self._run}/{uuid.uuid4().hex[:8]}/{name}"
        begun_s = time.perf_counter()
        try:
            self._s3.put_object(Bucket=self._bucket, Key=key, Body=data, ContentType="application/octet-stream")
            upload_s = time.perf_counter() - begun_s
            item = self._awaited(f"s3://{self._bucket}/{key}", begun_s + self._timeout_s)
        except AWS_ERRORS as error:
            raise NotAnswered(f"bucket {self._bucket}, table {self._table.name}: {error}") from None
        total_s = time.perf_counter() - begun_s
        if "error" in item:
            raise PictureRefused(item["error"])
        times_s = {
            "upload": upload_s,
            "inference": float(item["inference_time"]) / 1e3,
            "execution": float(item["execution_time"]) / 1e3,
            "end to end": total_s,
        }
        return Outcome([_detection(one) for one in item["objects"]], times_s)

    def _awaited(self, url: str, until_s: float) -> dict[str, Any]:
        """The item, when it is there."""
        while time.perf_counter() < until_s:
            self.reads += 1
            found: dict[str, Any] = self._table.get_item(Key={"picture_url": url}).get("Item", {})
            if found:
                return found
            time.sleep(_POLL_S)
        raise NotAnswered(f"{url} has no answer after {self._timeout_s:g} s: the function's log may say why")


def _detection(found: dict[str, Any]) -> Detection:
    left, top, right, bottom = (float(edge) for edge in found["box"])
    return Detection(found["label"], float(found["accuracy"]), (left, top, right, bottom))
