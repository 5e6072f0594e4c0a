# SPDX-License-Identifier: Apache-2.0
"""The way through S3, the function under AWS's runtime emulator, and DynamoDB; and what goes wrong on it."""

from __future__ import annotations

import argparse
import dataclasses
import io
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import splitnet
from common.aws_client import aws_client, aws_table
from common.package_files import ROOT
from common.worker_token import VARIABLE
from detection import boxes, cloud, model_files
from detection.client import main
from detection.cloud_route import CloudRoute
from detection.codecs import CUTS
from detection.detector import Detector, in_session
from detection.placing import add_arguments, open_session
from detection.route import NotAnswered, PictureRefused
from local_aws import Invocation, LocalAws

TOKEN = "a-token-that-callers-of-the-url-show"


@pytest.fixture(scope="module")
def aws(exported: None) -> Iterator[LocalAws]:
    with cloud.started(token=TOKEN) as started, pytest.MonkeyPatch.context() as patch:
        for name, value in started.environment.items():
            patch.setenv(name, value)
        yield started


def table() -> Any:
    return aws_table(cloud.TABLE)


def route(timeout_s: float = 30.0) -> CloudRoute:
    return CloudRoute(cloud.BUCKET, cloud.TABLE, timeout_s)


def upload(key: str, data: bytes) -> None:
    aws_client("s3").put_object(Bucket=cloud.BUCKET, Key=key, Body=data, ContentType="application/octet-stream")


def invoked(aws: LocalAws, count: int) -> list[Invocation]:
    """Those of the function, when so many have ended: an item is there a moment before its invocation ends."""
    until_s = time.monotonic() + 30
    while len(calls := aws.invocations(cloud.WHOLE)) < count:
        assert time.monotonic() < until_s, calls
        time.sleep(0.05)
    return calls


def test_a_session_in_cpp_has_the_bits_of_the_whole_network(
    aws: LocalAws, photos: dict[str, Path], tmp_path: Path
) -> None:
    """Opening it finds the function cold; its calls are hot."""
    file = tmp_path / "cat.bin"
    file.write_bytes(boxes.read_photo(photos["cat"].read_bytes()).pixels.numpy().tobytes())
    aws.recycle(cloud.TAIL)
    before = len(aws.invocations(cloud.TAIL))
    program = [str(ROOT / "build/release/call_function"), str(model_files.model_file()), f"lambda://{cloud.TAIL}"]
    shape = f"1x3x{boxes.SIDE}x{boxes.SIDE}"
    options = ["--input", f"{file}:{shape}", "--cut", CUTS[0], "--calls", "3", "--json"]
    done = subprocess.run([*program, *options], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["same_answer"] is True
    opening, *calls = aws.invocations(cloud.TAIL)[before:]
    assert opening.is_cold
    assert [call.is_cold for call in calls] == [False] * 3


def test_a_function_url_serves_who_has_the_token(
    aws: LocalAws,
    part: splitnet.Partitioner,
    photos: dict[str, Path],
    names: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    options = parser.parse_args(["--worker", aws.function_url(cloud.TAIL), "--cut", CUTS[0]])
    with pytest.raises(splitnet.Unauthenticated, match="token"):
        open_session(part, options)
    monkeypatch.setenv(VARIABLE, TOKEN)
    with open_session(part, options) as session:
        before = len(aws.invocations(cloud.TAIL))
        answer = Detector(in_session(session), names).detect(photos["cat"].read_bytes())
    assert [one.label for one in answer.objects] == ["cat"]
    assert len(aws.invocations(cloud.TAIL)) == before + 1


def test_a_folder_goes_through_the_cloud(
    aws: LocalAws, photos: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("cat", "coffee", "motorcycle"):
        shutil.copy(photos[name], tmp_path)
    (tmp_path / "letter.txt").write_text("Dear reader")
    drawn = tmp_path / "drawn"
    options = ["--remote", "--bucket", cloud.BUCKET, "--table", cloud.TABLE, "--draw", str(drawn)]
    assert main([str(tmp_path), *options]) == 0
    told = capsys.readouterr()
    found = [line.split(": ", 1)[1] for line in told.err.splitlines()]
    assert found[0].startswith("cat 0.") and found[1].startswith("cup 0.") and found[3].startswith("motorbike 0.")
    assert found[2].startswith("skipped: found 11 bytes that are no picture")
    times = [line.split()[0] for line in told.out.splitlines() if line.count(" / ") == 3]
    assert times == ["time", "upload", "inference", "execution", "end"]
    assert told.out.splitlines()[-1] == "3 answered, 1 skipped, 0 failed"
    assert len(list(drawn.iterdir())) == 3

    calls = invoked(aws, 4)
    assert [call.error for call in calls] == [None] * 4  # The letter was not tried again.
    assert calls[0].is_cold and not calls[-1].is_cold
    assert all(100 * 2**20 < call.peak_memory_bytes <= 512 * 2**20 for call in calls)


def test_the_item_is_keyed_by_url_and_in_decimals(aws: LocalAws, photos: dict[str, Path]) -> None:
    key = "holiday/my cat + coffee (1) é.jpg"  # S3's event has it URL-encoded.
    begun = len(aws.invocations(cloud.WHOLE))
    upload(key, photos["cat"].read_bytes())
    invoked(aws, begun + 1)
    item = table().get_item(Key={"picture_url": f"s3://{cloud.BUCKET}/{key}"})["Item"]
    assert set(item) == {"picture_url", "etag", "objects", "inference_time", "execution_time"}
    assert [one["label"] for one in item["objects"]] == ["cat"]
    assert isinstance(item["objects"][0]["accuracy"], Decimal)
    assert 0 < item["inference_time"] < item["execution_time"] < 15_000


def test_a_second_event_for_the_same_picture_changes_nothing(aws: LocalAws, photos: dict[str, Path]) -> None:
    key, url = "twice.jpg", {"picture_url": f"s3://{cloud.BUCKET}/twice.jpg"}
    begun = len(aws.invocations(cloud.WHOLE))
    upload(key, photos["coffee"].read_bytes())
    invoked(aws, begun + 1)
    first = table().get_item(Key=url)["Item"]
    upload(key, photos["coffee"].read_bytes())
    invoked(aws, begun + 2)
    assert table().get_item(Key=url)["Item"] == first
    upload(key, photos["motorcycle"].read_bytes())
    invoked(aws, begun + 3)
    assert table().get_item(Key=url)["Item"]["objects"][0]["label"] == "motorbike"


def test_a_50_megapixel_photo_fits_the_function(aws: LocalAws, photos: dict[str, Path]) -> None:
    begun = len(aws.invocations(cloud.WHOLE))
    stream = io.BytesIO()
    Image.open(photos["motorcycle"]).resize((8660, 5843)).save(stream, "JPEG", quality=70)
    assert route().send("large.jpg", stream.getvalue()).objects[0].label == "motorbike"
    assert invoked(aws, begun + 1)[-1].peak_memory_bytes <= 512 * 2**20


def test_a_picture_that_takes_more_memory_than_the_function_has(aws: LocalAws) -> None:
    begun = len(aws.invocations(cloud.WHOLE))
    stream = io.BytesIO()
    Image.new("RGB", (8660, 5774)).save(stream, "PNG")  # Has to be decoded whole.
    with pytest.raises(PictureRefused, match=r"8660x5774 pixels \(PNG\), expected at most 12.\d* million"):
        route().send("large.png", stream.getvalue())
    assert [call.error for call in invoked(aws, begun + 1)[begun:]] == [None]


def test_too_many_pixels_are_an_answer_not_a_retry(aws: LocalAws) -> None:
    begun = len(aws.invocations(cloud.WHOLE))
    stream = io.BytesIO()
    Image.new("1", (12_000, 9_000)).save(stream, "PNG")
    with pytest.raises(PictureRefused, match=r"12000x9000 pixels \(PNG\), expected at most 64 million"):
        route().send("bomb.png", stream.getvalue())
    assert [call.error for call in invoked(aws, begun + 1)[begun:]] == [None]


@pytest.mark.parametrize(
    ("bucket", "words"), [("no-such-bucket", "NoSuchBucket"), ("Bad_Bucket", "bucket Bad_Bucket, table detections: ")]
)
def test_a_bucket_that_is_missing(aws: LocalAws, photos: dict[str, Path], bucket: str, words: str) -> None:
    with pytest.raises(NotAnswered, match=words):
        CloudRoute(bucket, cloud.TABLE).send("cat.jpg", photos["cat"].read_bytes())


def test_a_table_that_is_missing(aws: LocalAws, photos: dict[str, Path]) -> None:
    with pytest.raises(NotAnswered, match="table no-such-table: .*ResourceNotFoundException"):
        CloudRoute(cloud.BUCKET, "no-such-table").send("cat.jpg", photos["cat"].read_bytes())


def test_no_credentials(
    aws: LocalAws,
    photos: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    shutil.copy(photos["cat"], tmp_path)
    assert main([str(tmp_path), "--remote", "--bucket", cloud.BUCKET, "--table", cloud.TABLE]) == 1
    assert (
        "FAILED: bucket detection-pictures, table detections: Unable to locate credentials" in capsys.readouterr().err
    )


def test_a_function_that_times_out(photos: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    slow = dataclasses.replace(
        cloud.Sizes(), whole_timeout_s=1
    )  # Its start alone takes longer with that share of a core.
    with cloud.started(sizes=slow) as aws:
        for name, value in aws.environment.items():
            monkeypatch.setenv(name, value)
        begun_s = time.monotonic()
        with pytest.raises(NotAnswered, match=r"cat\.jpg has no answer after 4 s: the function's log may say why"):
            route(timeout_s=4).send("cat.jpg", photos["cat"].read_bytes())
        assert time.monotonic() - begun_s < 8
        assert "timed out" in str(invoked(aws, 1)[0].error).lower()
