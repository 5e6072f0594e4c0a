# SPDX-License-Identifier: Apache-2.0
"""What a web tier finds in the bucket when it starts, and shows of it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator

import pytest
from aiohttp import web
from botocore.exceptions import ClientError  # type: ignore[import-untyped]

import splitnet
from common.aws_client import aws_client
from common.pictures import PictureError
from elastic_pool.classifiers import classifier
from elastic_pool.classifying import Classifying, Settings
from elastic_pool.job_store import JobList, JobStore, Picture, new_job_id
from elastic_pool.photos import varied_photos
from elastic_pool.tests.places import BUCKET, MODEL
from elastic_pool.upload import Limits
from elastic_pool.web_tier import WebTier
from local_aws import LocalAws

PHOTO = next(varied_photos(1)).file
DAMAGED = ["", "no JSON", "null", "[]", "{}", '{"accepted_s": 1, "pictures": [{"name": "a.jpg", "newer": true}]}']


class HeldStore(JobStore):
    """Reads lists when it may, and then fails so often before it does."""

    fails = 0

    def __init__(self) -> None:
        super().__init__(BUCKET)
        self.may = threading.Event()

    def accepted(self, job: str) -> JobList:
        assert self.may.wait(60)
        if self.fails:
            self.fails -= 1
            raise ClientError({"Error": {"Code": "SlowDown"}}, "GetObject")
        return super().accepted(job)


@pytest.fixture
def store(aws: LocalAws, monkeypatch: pytest.MonkeyPatch) -> Iterator[HeldStore]:
    """Nothing of it stays, nor blocks a thread."""
    for name, value in aws.environment.items():
        monkeypatch.setenv(name, value)
    made = HeldStore()
    yield made
    made.may.set()
    s3 = aws_client("s3")
    for job in made.open_jobs():
        s3.delete_object(Bucket=BUCKET, Key=f"open/{job}")


def run(
    store: JobStore,
    worker: splitnet.Worker,
    work: Callable[[WebTier], Awaitable[None]],
    settings: Settings | None = None,
) -> None:
    async def run() -> None:
        classifying = Classifying(store, classifier(MODEL), worker.address, settings)
        tier = WebTier(store, classifying, Limits(), "")
        try:
            async with asyncio.timeout(50):
                await work(tier)
        finally:
            await tier.close(web.Application())

    asyncio.run(run())


def open_job(store: JobStore) -> str:
    job = JobList(new_job_id(), 0.0, (Picture("a.jpg"),))
    store.put_input(job.id, 0, PHOTO)
    store.put_list(job)
    return job.id


async def until_done(store: JobStore, job: str) -> None:
    while job in await asyncio.to_thread(store.open_jobs):
        await asyncio.sleep(0.02)
    (result,) = await asyncio.to_thread(store.results, job)
    assert result.label == "bull mastiff"


def test_a_start_does_not_wait_for_open_jobs(store: HeldStore, worker: splitnet.Worker) -> None:
    """And goes on with them although S3 fails for a while."""
    jobs = [open_job(store) for _ in range(3)]
    store.fails = 2

    async def work(tier: WebTier) -> None:
        await tier.resume()
        store.may.set()
        for job in jobs:
            await until_done(store, job)

    run(store, worker, work)


def test_who_ends_while_it_starts_leaves_the_jobs_open(store: HeldStore, worker: splitnet.Worker) -> None:
    job = open_job(store)

    async def work(tier: WebTier) -> None:
        await tier.resume()
        threading.Timer(0.2, store.may.set).start()

    run(store, worker, work)
    assert store.open_jobs() == [job] and store.results(job) == []


def test_jobs_that_nobody_here_has_written_stop_nothing(
    store: HeldStore, worker: splitnet.Worker, capsys: pytest.CaptureFixture[str]
) -> None:
    store.may.set()
    damaged = [f"-{number:021}" for number in range(len(DAMAGED))]  # Sorted before all others.
    for job, body in zip(damaged, DAMAGED, strict=True):
        store.put_list(JobList(job, 0.0, ()))
        aws_client("s3").put_object(Bucket=BUCKET, Key=f"jobs/{job}/pictures.json", Body=body.encode())
    whole = open_job(store)

    async def work(tier: WebTier) -> None:
        await tier.resume()
        await until_done(store, whole)

    run(store, worker, work)
    said = capsys.readouterr().err
    assert all(f"job {job} can't be read, and stays as it is" in said for job in damaged), said
    assert sorted(store.open_jobs()) == damaged


def test_small_pictures_are_bound_by_what_may_be_decoded(store: HeldStore, worker: splitnet.Worker) -> None:
    job = open_job(store)

    async def work(tier: WebTier) -> None:
        with pytest.raises(PictureError, match="expected at most 0.0001 million"):
            await tier.small_picture(job, 0)

    run(store, worker, work, Settings(max_decoded_pixels=100))
