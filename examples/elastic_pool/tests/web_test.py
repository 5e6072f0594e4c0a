# SPDX-License-Identifier: Apache-2.0
"""The web tier as a program: labels that are right, and jobs that outlive it."""

from __future__ import annotations

import contextlib
import json
import signal
from collections.abc import Mapping, Sequence

import pytest

import splitnet
from common.aws_client import aws_client
from common.server_process import ServerProcess
from elastic_pool.classifiers import classifier
from elastic_pool.job_store import Result
from elastic_pool.photos import Photo, varied_photos
from elastic_pool.tests.conftest import StartWeb
from elastic_pool.tests.places import BUCKET, MODEL
from elastic_pool.web import main
from elastic_pool.web_client import NotTaken, WebClient
from local_aws import LocalAws

TIMEOUT_S = 120.0
NOBODY = "tcp://127.0.0.1:1"


@pytest.fixture(scope="session")
def photos() -> list[Photo]:
    return list(varied_photos(30))


@pytest.fixture(scope="session")
def expected(exported: None, photos: list[Photo]) -> list[str]:
    """By the network in this process alone."""
    one = classifier(MODEL)
    with splitnet.Session(splitnet.Partitioner(one.model_file()), threads=1) as session:
        return [one.label(session(one.pixels(photo.file))).name for photo in photos]


def uploaded(client: WebClient, photos: Sequence[Photo]) -> str:
    return client.upload((photo.name, photo.file) for photo in photos)


def labels(results: Sequence[Result]) -> list[str]:
    """In the pictures' order."""
    return [one.label or one.error for one in sorted(results, key=lambda one: one.index)]


def objects(aws: LocalAws, prefix: str) -> Mapping[str, bytes]:
    s3 = aws_client("s3", aws.environment)
    keys = [one["Key"] for one in s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])]
    return {key.removeprefix(prefix): s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys}


def test_every_picture_gets_its_label(
    web: ServerProcess, aws: LocalAws, photos: list[Photo], expected: list[str]
) -> None:
    client = WebClient(web.url)
    job = uploaded(client, photos)
    results = list(client.follow(job, TIMEOUT_S))
    assert labels(results) == expected
    assert all(0 < one.probability <= 1 and one.answered_s > 0 for one in results)
    rows = [[photo.name, label] for photo, label in zip(photos, expected, strict=True)]
    assert client.labels(job) == [["picture", "label"], *rows]
    there = objects(aws, f"{job.removeprefix('/')}/")
    assert [there[f"inputs/{index:05}"] for index in range(30)] == [photo.file for photo in photos]
    assert [json.loads(there[f"results/{index:05}"])["label"] for index in range(30)] == expected
    small = client.request("GET", f"{job}/pictures/3")
    assert small.status == 200 and small.headers["Content-Type"] == "image/jpeg" and small.body.startswith(b"\xff\xd8")


def test_jobs_outlive_the_web_tier(
    web: ServerProcess, start_web: StartWeb, photos: list[Photo], expected: list[str]
) -> None:
    done = uploaded(WebClient(web.url), photos[:3])
    before = list(WebClient(web.url).follow(done, TIMEOUT_S))
    with pytest.raises(RuntimeError, match="exit status -9"), start_web("--worker", NOBODY) as started:
        job = uploaded(WebClient(started.url), photos)
        with pytest.raises(NotTaken, match="409: 0 of 30 pictures are answered"):
            WebClient(started.url).labels(job)
        started.process.kill()
        started.process.wait()
    with pytest.raises(RuntimeError, match="exit status 130"), start_web("--at-once", "2") as started:
        coming = WebClient(started.url).follow(job, TIMEOUT_S)
        early = [next(coming) for _ in range(4)]
        started.process.send_signal(signal.SIGINT)
        started.process.wait(30)
    with start_web() as started:
        client = WebClient(started.url)
        results = list(client.follow(job, TIMEOUT_S))
        assert labels(results) == expected
        assert len(client.labels(job)) == 1 + len(photos)
        assert set(client.follow(done, TIMEOUT_S)) == set(before), "what was done is still there"
    kept = {one.index: one for one in results}
    assert [kept[one.index] for one in early] == early, "a result that was told stays as it was"


@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        (["--pictures", "0"], 1, "elastic_pool.web: pictures: found 0, expected more than 0"),
        (["--answer-s", "-1"], 1, "elastic_pool.web: answer_s: found -1.0, expected more than 0"),
        (["--model", "resnet"], 2, "invalid choice: 'resnet'"),
        (["--host", "0.0.0.0"], 2, "other machines may reach it; say --allow-remote if that is meant"),
        (["--port", "0"], 1, "NoSuchBucket"),
    ],
)
def test_what_can_not_be_is_named(
    aws: LocalAws,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    status: int,
    words: str,
) -> None:
    for name, value in aws.environment.items():
        monkeypatch.setenv(name, value)
    with contextlib.suppress(SystemExit):
        assert main(["--bucket", "nobodys-bucket", *options]) == status == 1
    said = capsys.readouterr()
    assert words in said.err and said.out == ""
