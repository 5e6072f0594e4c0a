# SPDX-License-Identifier: Apache-2.0
"""Records of people in DynamoDB, and the cache in front."""

from __future__ import annotations

import botocore.exceptions  # type: ignore[import-untyped]
import pytest

from common.aws_client import aws_client
from video_faces.cloud import TABLE, Cloud
from video_faces.people import CALLER
from video_faces.records import Record, Records


def test_a_record_is_read_once(records: Records) -> None:
    first = records.find(CALLER)
    assert first == Record(CALLER, "Telecommunications", "senior") and first.text() == "Telecommunications, senior"
    assert records.find(CALLER) is first and records.reads == 1


def test_that_there_is_none_is_remembered_too(records: Records) -> None:
    assert records.find("Nobody") is None and records.find("Nobody") is None
    assert records.reads == 1


def test_what_was_cached_long_ago_is_asked_again(started: Cloud) -> None:
    records = Records(aws_client("dynamodb", started.aws.environment), TABLE, cached_s=0.0)
    records.find(CALLER)
    records.find(CALLER)
    assert records.reads == 2


def test_a_changed_record_is_seen_at_once(records: Records) -> None:
    records.put(Record("Grace", "Mathematics", "junior"))
    assert records.find("Grace") == Record("Grace", "Mathematics", "junior")
    records.put(Record("Grace", "Mathematics", "senior"))
    found = records.find("Grace")
    assert found is not None and found.year == "senior"


def test_an_item_that_lacks_something_is_no_record(started: Cloud, records: Records) -> None:
    client = aws_client("dynamodb", started.aws.environment)
    client.put_item(TableName=TABLE, Item={"name": {"S": "Half"}, "major": {"N": "3"}})
    assert records.find("Half") is None


def test_a_table_that_is_not_there_is_an_error(started: Cloud) -> None:
    missing = Records(aws_client("dynamodb", started.aws.environment), "nowhere")
    with pytest.raises(botocore.exceptions.ClientError, match="ResourceNotFound"):
        missing.find(CALLER)


def test_a_failure_is_told_again_before_it_is_tried_again(started: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is asked for: each would wait as long."""
    missing = Records(aws_client("dynamodb", started.aws.environment), "nowhere")
    for name in (CALLER, CALLER, "Grace"):
        with pytest.raises(botocore.exceptions.ClientError, match="ResourceNotFound"):
            missing.find(name)
    assert missing.reads == 1
    monkeypatch.setattr("video_faces.records.FAILED_S", 0.0)
    with pytest.raises(botocore.exceptions.ClientError, match="ResourceNotFound"):
        missing.find(CALLER)
    assert missing.reads == 2


def test_names_do_not_wait_for_long(started: Cloud) -> None:
    config = started.records()._client.meta.config
    assert (config.connect_timeout, config.read_timeout) == (2.0, 2.0)
