# SPDX-License-Identifier: Apache-2.0
"""Jobs in S3: each result once, and what another web tier finds."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from elastic_pool.job_store import JobList, JobStore, NoSuchInput, NoSuchJob, Picture, Result, new_job_id
from elastic_pool.tests.places import BUCKET
from local_aws import LocalAws


@pytest.fixture
def store(aws: LocalAws, monkeypatch: pytest.MonkeyPatch) -> JobStore:
    for name, value in aws.environment.items():
        monkeypatch.setenv(name, value)
    return JobStore(BUCKET)


def test_a_job_is_open_from_its_list_to_its_last_result(store: JobStore) -> None:
    job = JobList(new_job_id(), 12.5, (Picture("a.jpg"), Picture("b.jpg", refused="too large")))
    with pytest.raises(NoSuchJob):
        store.accepted(job.id)
    store.put_input(job.id, 0, b"data")
    assert job.id not in store.open_jobs()
    store.put_list(job)
    assert store.accepted(job.id) == job
    assert job.id in store.open_jobs()
    results = [Result(0, "a.jpg", "tabby", 0.5), Result(1, "b.jpg", error="too large")]
    for one in reversed(results):
        store.put_result(job.id, one)
    assert store.results(job.id) == results
    store.finish(job.id, results)
    assert job.id not in store.open_jobs()
    assert store.results(job.id) == results


def test_a_result_is_written_once_whoever_comes(store: JobStore) -> None:
    job = new_job_id()
    with ThreadPoolExecutor(4) as threads:
        kept = list(threads.map(lambda n: store.put_result(job, Result(3, "a.jpg", f"label {n}")), range(4)))
    assert len(set(kept)) == 1
    assert store.results(job) == [kept[0]]


def test_inputs_that_are_gone_say_so(store: JobStore) -> None:
    job = new_job_id()
    store.put_input(job, 2, b"data")
    assert store.input(job, 2) == b"data"
    store.remove_inputs(job, [2])
    with pytest.raises(NoSuchInput, match="not in the bucket any more"):
        store.input(job, 2)
