# SPDX-License-Identifier: Apache-2.0
"""A handler for Lambda's Python runtime: an item in DynamoDB for each uploaded object."""

from __future__ import annotations

import os
import urllib.parse
from typing import Any

import boto3  # type: ignore[import-untyped]

_s3 = boto3.client("s3")
_dynamodb = boto3.client("dynamodb")


def handle(event: dict[str, Any], context: Any) -> None:
    for record in event["Records"]:
        bucket = record["s3"]["bucket"]["name"]
        key = urllib.parse.unquote_plus(record["s3"]["object"]["key"])
        text = _s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode()
        item = {
            "picture_url": f"s3://{bucket}/{key}",
            "text": text,
            "raw_key": record["s3"]["object"]["key"],
            "sequencer": record["s3"]["object"]["sequencer"],
            "event_name": record["eventName"],
            "memory": context.memory_limit_in_mb,
        }
        _dynamodb.put_item(
            TableName=os.environ["TABLE"], Item={name: {"S": str(value)} for name, value in item.items()}
        )
