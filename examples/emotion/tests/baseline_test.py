# SPDX-License-Identifier: Apache-2.0
"""What the baseline's function does with objects that cloud_test.py does not put into the bucket."""

from __future__ import annotations

import importlib
import io
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from emotion.faces import Face


class Bucket:
    """Has one object; keeps what is put."""

    class exceptions:
        NoSuchKey = KeyError

    def __init__(self, key: str, content: bytes, size: int | None = None) -> None:
        self._objects = {key: {"ContentLength": len(content) if size is None else size, "Body": io.BytesIO(content)}}
        self.answers: dict[str, Any] = {}

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        return self._objects[Key]

    def put_object(self, Bucket: str, Key: str, Body: bytes, ContentType: str) -> None:
        self.answers[Key] = json.loads(Body)


@pytest.fixture
def baseline(models: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setenv("EMOTION_MODELS", str(models))
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    return importlib.import_module("emotion.baseline")


def answers(baseline: ModuleType, monkeypatch: pytest.MonkeyPatch, bucket: Bucket, *keys: str) -> dict[str, Any]:
    monkeypatch.setattr(baseline, "_s3", bucket)
    records = [{"s3": {"bucket": {"name": "photos"}, "object": {"key": key}}} for key in keys]
    baseline.handler({"Records": records}, None)
    return bucket.answers


def test_keys_come_quoted_and_what_is_gone_is_passed_over(
    baseline: ModuleType, monkeypatch: pytest.MonkeyPatch, photo: bytes, face: Face
) -> None:
    bucket = Bucket("photos/a b", photo)
    found = answers(baseline, monkeypatch, bucket, "photos/gone", "photos/a+b")
    assert list(found) == ["answers/a b.json"]
    assert found["answers/a b.json"]["faces"][0]["box"] == list(face.box)


def test_a_file_that_is_too_large_is_not_read(baseline: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    found = answers(baseline, monkeypatch, Bucket("photos/a", b"", 2**26 + 1), "photos/a")
    assert found["answers/a.json"] == {"error": "found 67108865 bytes, expected a photo of at most 67108864"}
