# SPDX-License-Identifier: Apache-2.0
"""Both ways through the cloud, on the stand-in for AWS: the tail as a function, and the photo that is sent whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import boto3  # type: ignore[import-untyped]
import pytest
from playwright.sync_api import expect

import splitnet
from common.package_files import package_file
from common.pictures import PictureError
from emotion.cloud import BUCKET, TAIL, WHOLE, emotion_cloud
from emotion.emotions import strongest
from emotion.faces import Face
from emotion.local_platform import LocalPlatform
from emotion.measure import Link, measure
from emotion.measure_table import tables
from emotion.page_server import PageServer
from emotion.settings import parse
from emotion.tests.leaks import leaks
from emotion.tests.page_test import browser as browser, show as show, upload
from emotion.whole_photo import WholePhoto
from emotion.wire import Wire
from local_aws import LocalAws


@pytest.fixture(scope="module")
def aws(models: Path) -> Iterator[LocalAws]:
    """Clients in this process talk to it."""
    with emotion_cloud(models) as started, pytest.MonkeyPatch.context() as patch:
        for name, value in started.environment.items():
            patch.setenv(name, value)
        yield started


@pytest.fixture(scope="module")
def server(aws: LocalAws, models: Path) -> Iterator[PageServer]:
    arguments = ["--worker", f"lambda://{TAIL}", "--bucket", BUCKET, "--models", str(models)]
    with PageServer(arguments) as started:
        yield started


def on_wire(variable: str, monkeypatch: pytest.MonkeyPatch) -> Wire:
    """In front of an endpoint, in the place of it for this process."""
    wire = Wire(os.environ[variable].removeprefix("http://"), record=True)
    monkeypatch.setenv(variable, f"http://{wire.address}")
    return wire


def test_the_tail_is_a_function_and_the_photo_stays(
    aws: LocalAws, models: Path, photo: bytes, face: Face, monkeypatch: pytest.MonkeyPatch
) -> None:
    with on_wire("AWS_ENDPOINT_URL_LAMBDA", monkeypatch) as wire:
        with LocalPlatform(parse(["--worker", f"lambda://{TAIL}", "--models", str(models)], "test", "")) as platform:
            assert platform.plan is not None, platform.plan_trouble
            wire.forget()
            calls = len(aws.invocations(TAIL))
            found = [platform.recognise(face.pixels, platform.choice(block.end)) for block in platform.blocks[:-1]]
    assert [one.trouble for one in found] == [""] * 6
    assert {strongest(one.probabilities) for one in found} == {"happy"}
    assert all(one.answered_by for one in found)
    assert len(aws.invocations(TAIL)) >= calls + 6
    assert len(wire.sent) > sum(one.sent_bytes for one in found) * 4 / 3
    assert leaks(wire.sent, photo, face) == []


def test_a_function_url_serves_too(aws: LocalAws, part: splitnet.Partitioner, face: Face) -> None:
    with splitnet.Session(part, worker=aws.function_url(TAIL), cut="blocks.1#4") as session:
        assert session.run(face.pixels).answered_by == aws.function_url(TAIL)


def test_the_photo_that_is_sent_whole(aws: LocalAws, photo: bytes, face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    with on_wire("AWS_ENDPOINT_URL_S3", monkeypatch) as wire:
        found = WholePhoto(BUCKET).recognise(photo)
        assert "Contents" not in boto3.client("s3").list_objects_v2(Bucket=BUCKET), "nothing stays in the bucket"
    assert found.boxes == [face.box]
    assert strongest(found.probabilities[0]) == "happy"
    assert found.sent_bytes == len(photo)
    assert found.upload_s + found.fetch_s + found.search_s + found.network_s < found.total_s
    assert aws.invocations(WHOLE)[-1].error in (None, "")
    assert leaks(wire.sent, photo, face) == ["file"], "the watch notices a photo that leaves"


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"dear diary", "no picture"), (b"", "empty file"), (None, "no face was found")],
)
def test_a_bad_photo_is_answered_with_why(aws: LocalAws, content: bytes | None, message: str) -> None:
    photo = package_file("skimage/data/coffee.png").read_bytes() if content is None else content
    with pytest.raises(PictureError, match=message):
        WholePhoto(BUCKET).recognise(photo)
    assert len([one for one in aws.invocations(WHOLE) if one.error]) == 0, "it is not tried again"


def test_a_bucket_that_is_not_there_is_named(aws: LocalAws, photo: bytes) -> None:
    with pytest.raises(Exception, match="NoSuchBucket|does not exist"):
        WholePhoto("nowhere").recognise(photo)


def test_no_trigger_no_answer(aws: LocalAws, photo: bytes) -> None:
    boto3.client("s3").create_bucket(
        Bucket="quiet", CreateBucketConfiguration={"LocationConstraint": os.environ["AWS_REGION"]}
    )
    with pytest.raises(TimeoutError, match="does its trigger start the function"):
        WholePhoto("quiet").recognise(photo, timeout_s=0.3)


def test_measured_and_printed(aws: LocalAws, photo: bytes) -> None:
    measured = measure(aws, photo, Link(up_megabits_per_s=20, down_megabits_per_s=50, delay_s=0.002), 1, 1)
    assert measured.problems() == []
    whole, five, four, three, chosen = (row for row in measured.rows if "int" not in row.name and "f16" not in row.name)
    assert whole.sent_bytes == len(photo)
    assert five.sent_bytes > len(photo) > four.sent_bytes > three.sent_bytes
    assert (chosen.sent_bytes, chosen.cold_s) == (0, None), "device only"
    assert all(row.cold_s is not None for row in (whole, five, four, three))
    assert whole.hot_dollars.total > three.hot_dollars.total > 0
    text = tables(measured)
    assert "5 blocks in the cloud" in text
    assert "device only" in text


def test_the_page_compares_both(show: object, server: PageServer, aws: LocalAws, photo: bytes) -> None:
    page = show()  # type: ignore[operator]
    upload(page, "astronaut.jpg", photo)
    expect(page.get_by_role("heading", name="happy, 99.8%")).to_be_visible()
    before = len(aws.invocations(WHOLE))
    page.get_by_text("Send the photo, for comparison").click()
    expect(page.get_by_text("By way of S3 it says: happy.")).to_be_visible()
    expect(page.get_by_role("cell", name="68,052")).to_be_visible()
    assert len(aws.invocations(WHOLE)) > before
