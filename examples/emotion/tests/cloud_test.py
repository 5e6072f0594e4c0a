# SPDX-License-Identifier: Apache-2.0
"""Both ways through the cloud, on the stand-in for AWS: the tail as a function, and the photo that is sent whole."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from common.aws_client import aws_client
from common.package_files import ROOT, package_file
from common.pictures import PictureError
from emotion.cloud import BUCKET, TAIL, WHOLE
from emotion.emotions import strongest
from emotion.faces import Face
from emotion.local_platform import LocalPlatform
from emotion.settings import parse
from emotion.tests.conftest import TOKEN
from emotion.tests.leaks import leaks
from emotion.whole_photo import WholePhoto
from emotion.wire import Wire
from local_aws import LocalAws

pytestmark = pytest.mark.usefixtures("as_client")


def on_wire(variable: str, monkeypatch: pytest.MonkeyPatch) -> Wire:
    """In front of an endpoint, in its place for this process."""
    wire = Wire(os.environ[variable].removeprefix("http://"), record=True)
    monkeypatch.setenv(variable, f"http://{wire.address}")
    return wire


def test_the_tail_is_a_function_and_the_photo_stays(
    aws: LocalAws, models: Path, photo: bytes, face: Face, monkeypatch: pytest.MonkeyPatch
) -> None:
    with on_wire("AWS_ENDPOINT_URL_LAMBDA", monkeypatch) as wire:
        with LocalPlatform(parse(["--worker", f"lambda://{TAIL}", "--models", str(models)], "test", "")) as platform:
            assert platform.plan is not None, platform.findings.trouble
            wire.forget()
            calls = len(aws.invocations(TAIL))
            found = [platform.recognise(face.pixels, platform.choice(block.end)) for block in platform.blocks[:-1]]
    assert [one.trouble for one in found] == [""] * 6
    assert {strongest(one.probabilities) for one in found} == {"happy"}
    assert all(one.answered_by for one in found)
    assert len(aws.invocations(TAIL)) >= calls + 6
    assert len(wire.sent) > sum(one.sent_bytes for one in found)
    assert leaks(wire.sent, photo, face) == []


def test_a_session_in_cpp_has_the_bits_of_the_whole_network(
    aws: LocalAws, models: Path, face: Face, tmp_path: Path
) -> None:
    """Opening it finds the function cold; its calls are hot."""
    file = tmp_path / "face.bin"
    file.write_bytes(face.pixels.numpy().tobytes())
    aws.recycle(TAIL)
    before = len(aws.invocations(TAIL))
    program = [str(ROOT / "build/release/call_function"), str(models / "emotion.pt"), f"lambda://{TAIL}"]
    options = ["--input", f"{file}:1x1x64x64", "--cut", "blocks.1", "--calls", "3", "--json"]
    done = subprocess.run([*program, *options], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["same_answer"] is True
    opening, *calls = aws.invocations(TAIL)[before:]
    assert opening.is_cold
    assert [call.is_cold for call in calls] == [False] * 3


def test_a_function_url_serves_who_has_the_token(
    aws: LocalAws, models: Path, face: Face, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = parse(["--worker", aws.function_url(TAIL), "--models", str(models)], "test", "")
    with LocalPlatform(settings) as platform:
        assert "token" in platform.findings.trouble
        assert "token" in platform.recognise(face.pixels, platform.choice(platform.blocks[2].end)).trouble
    monkeypatch.setenv("SPLITNET_TOKEN", TOKEN)
    with LocalPlatform(settings) as platform:
        assert platform.plan is not None, platform.findings.trouble
        found = platform.recognise(face.pixels, platform.choice(platform.blocks[2].end))
        assert (found.trouble, found.answered_by) == ("", aws.function_url(TAIL))


def test_the_photo_that_is_sent_whole(aws: LocalAws, photo: bytes, face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    with on_wire("AWS_ENDPOINT_URL_S3", monkeypatch) as wire:
        found = WholePhoto(BUCKET).recognise(photo)
        assert "Contents" not in aws_client("s3").list_objects_v2(Bucket=BUCKET), "nothing stays in the bucket"
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
    aws_client("s3").create_bucket(
        Bucket="quiet", CreateBucketConfiguration={"LocationConstraint": os.environ["AWS_REGION"]}
    )
    with pytest.raises(TimeoutError, match="does its trigger start the function"):
        WholePhoto("quiet").recognise(photo, timeout_s=0.3)


def test_a_photo_that_is_gone_is_no_error(aws: LocalAws) -> None:
    """Its client did not wait; the event came all the same."""
    before = len(aws.invocations(WHOLE))
    stored = {"bucket": {"name": BUCKET}, "object": {"key": "photos/gone"}}
    answer = aws_client("lambda").invoke(FunctionName=WHOLE, Payload=json.dumps({"Records": [{"s3": stored}]}))
    assert "FunctionError" not in answer, answer["Payload"].read()
    assert len(aws.invocations(WHOLE)) == before + 1
    assert any("photos/gone is gone" in line for line in aws.log(WHOLE))
