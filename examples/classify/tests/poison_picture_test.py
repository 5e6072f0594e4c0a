# SPDX-License-Identifier: Apache-2.0
"""A picture that no worker has memory for, among others: it is a dead letter, and whoever asked is told why."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import splitnet
from classify.tests.conftest import BUCKET
from classify.tests.hostile_server import picture
from classify.tests.server_test import Client, Fixture
from elastic_pool.classifiers import Classifier
from elastic_pool.photos import varied_photos
from elastic_pool.tests.greedy_pool import DELIVERIES, QUEUE, dead_letters, greedy_pool, white_picture
from local_aws import LocalAws


def open_session(model: Classifier) -> splitnet.Session:
    return model.open_session(f"sqs://{QUEUE}", deadline_s=120)


def test_a_poison_picture_is_a_dead_letter_and_the_others_get_labels(
    models: None, aws: LocalAws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in aws.environment.items():
        monkeypatch.setenv(name, value)
    photos = {f"/{index}": picture(photo.file) for index, photo in enumerate(varied_photos(4))}

    async def work(client: Client) -> None:
        asked = (client.classify(path, QUEUE) for path in ("/white", *photos))
        (status, answer, headers), *others = await asyncio.gather(*asked)
        labels = ["bull mastiff", "folding chair", "beaker", "buckeye"]
        assert [(status, answer.get("label")) for status, answer, _ in others] == [(200, label) for label in labels]
        (reason,) = dead_letters(aws.environment)
        assert reason.startswith(f"{DELIVERIES} deliveries") and "memory" in reason
        assert status == 500 and answer["error"].startswith("the picture could not be classified: ")
        assert answer["error"].endswith(reason) and "label" not in answer

    with greedy_pool(tmp_path, aws.environment) as greedy:
        service = Fixture(open_session, aws.environment, BUCKET, models={QUEUE: greedy})
        service.run({"/white": picture(white_picture()), **photos}, work)
