# SPDX-License-Identifier: Apache-2.0
"""Trying again, and giving up: what is no answer of a worker."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

import splitnet
from elastic_pool.classifiers import Classifier, classifier
from elastic_pool.classifying import Classifying, Job, Settings
from elastic_pool.job_store import JobList, JobStore, Picture, Result, new_job_id
from elastic_pool.photos import varied_photos
from elastic_pool.tests.places import BUCKET, MODEL
from local_aws import LocalAws
from local_aws.processes import free_ports

PHOTO = next(varied_photos(1)).file
PATIENCE_S = 60.0


@pytest.fixture
def store(aws: LocalAws, monkeypatch: pytest.MonkeyPatch) -> JobStore:
    for name, value in aws.environment.items():
        monkeypatch.setenv(name, value)
    return JobStore(BUCKET)


def accepted(store: JobStore, pictures: int) -> JobList:
    job = JobList(new_job_id(), 0.0, tuple(Picture(f"{index}.jpg") for index in range(pictures)))
    for index in range(pictures):
        store.put_input(job.id, index, PHOTO)
    store.put_list(job)
    return job


def done(store: JobStore, job: JobList, worker: str, settings: Settings, network: Classifier | None = None) -> Job:
    """When all results are there."""

    async def run() -> Job:
        classifying = Classifying(store, network or classifier(MODEL), worker, settings)
        known = Job(job)
        classifying.start(known)
        while not known.is_done:
            before = len(known.results)
            await known.more_than(before, PATIENCE_S)
            assert len(known.results) > before, "no result within the time"
        await classifying.close()
        return known

    return asyncio.run(run())


def results(
    store: JobStore, job: JobList, worker: str, settings: Settings, network: Classifier | None = None
) -> list[Result]:
    return done(store, job, worker, settings, network).results


def test_a_picture_is_given_up_in_the_end(store: JobStore, exported: None) -> None:
    (only,) = results(store, accepted(store, 1), "tcp://127.0.0.1:1", Settings(give_up_s=0.1))
    assert only.label == "" and "127.0.0.1:1" in only.error


def test_a_file_that_is_gone_is_an_error(store: JobStore, worker: splitnet.Worker) -> None:
    job = accepted(store, 2)
    store.remove_inputs(job.id, [1])
    found = {one.index: one for one in results(store, job, worker.address, Settings())}
    assert found[0].label == "bull mastiff"
    assert found[1].error == "its file is not in the bucket any more"


def test_a_second_answer_is_counted_and_not_kept(store: JobStore, worker: splitnet.Worker) -> None:
    """Another web tier has been quicker with one of them."""
    job = accepted(store, 2)
    before = store.put_result(job.id, Result(1, "1.jpg", "cheese"))
    known = done(store, job, worker.address, Settings())
    assert known.refused == 1
    assert {one.index: one.label for one in known.results} == {0: "bull mastiff", 1: "cheese"}
    assert before in store.results(job.id)


def test_a_mistake_of_ours_is_the_error_of_one_picture(store: JobStore, worker: splitnet.Worker) -> None:
    """Of the 1,000 names some are missing."""
    mine = classifier(MODEL)
    network = dataclasses.replace(mine, labels=tuple(mine.names()[:500]))
    job = accepted(store, 3)
    store.put_input(job.id, 1, list(varied_photos(2))[1].file)
    found = {one.index: one for one in results(store, job, worker.address, Settings(), network)}
    assert [found[index].label for index in range(3)] == ["bull mastiff", "", "bull mastiff"]
    assert found[1].error == "the web tier failed at it; its log says why"
    assert store.results(job.id) == [found[index] for index in range(3)]


def test_workers_come_late_and_go_early(store: JobStore, exported: None) -> None:
    endpoint = f"tcp://127.0.0.1:{free_ports(1)[0]}"
    part = splitnet.Partitioner(classifier(MODEL).model_file())

    async def run(job: Job) -> None:
        classifying = Classifying(store, classifier(MODEL), endpoint, Settings(at_once=1))
        classifying.start(job)
        await job.more_than(0, 0.5)
        assert job.results == []
        for enough in (2, 6):
            with splitnet.Worker(part, endpoint, threads=1):
                while len(job.results) < enough:
                    before = len(job.results)
                    await job.more_than(before, PATIENCE_S)
                    assert len(job.results) > before, "no result within the time"
        await classifying.close()

    job = Job(accepted(store, 6))
    asyncio.run(run(job))
    assert [one.label for one in job.results] == ["bull mastiff"] * 6
    assert sorted(one.index for one in job.results) == list(range(6))
