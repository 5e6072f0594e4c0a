# SPDX-License-Identifier: Apache-2.0
"""The experiments find what is wrong, and say it."""

from __future__ import annotations

import pytest

from classify import measure
from classify.asking import Reply
from classify.measure import Experiments, Run
from classify.report import document, table
from common.server_process import ServerProcess
from elastic_pool.classifiers import CLASSIFIERS, Classifier, Label


def test_wrong_labels_and_missing_answers_are_found(
    service: ServerProcess, photos: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_labels = measure.local_labels

    def one_is_other(model: Classifier, count: int) -> list[Label]:
        return [*true_labels(model, count)[:-1], Label("abacus", 0.5)]

    monkeypatch.setattr(measure, "local_labels", one_is_other)
    monkeypatch.setattr(measure, "MODELS", ("mobilenet_v2", "resnet50"))
    monkeypatch.setattr(measure, "classifier", lambda name: CLASSIFIERS["mobilenet_v2"])
    runs = Experiments(service.url, photos.url, {}, 2, 2, lambda words: None).run_all()
    assert [run.answered for run in runs] == [2, 2, 1, 2, 2] and [run.right for run in runs] == [1, 1, 1, 1, 1]
    assert ["abacus" in run.wrong[0] for run in runs] == [True] * 5
    assert "no model is called 'resnet50'" in runs[2].wrong[0]
    assert runs[4].wrong[-1] == "no worker was killed"


def test_table_and_document() -> None:
    replies = [Reply(200, float(time_s), str(time_s), "cat", 0.5) for time_s in range(1, 20)] + [Reply(0, 99.0)]
    run = Run("20 at once", replies, 18, ["one is wrong"], 21.0, workers=2, killed=1)
    assert (run.answered, run.mean_s, run.latency_s(0.5), run.latency_s(1.0)) == (19, 10.0, 10.0, 19.0)
    last = table([run]).splitlines()[-1].split()
    assert last == "20 at once 19 of 20 18 of 20 10.00 10.00 19.00 19.00 21.00 2 1".split()
    found = document([run])["runs"][0]
    assert (found["answered"], found["right"], found["p95_s"], found["killed"]) == (19, 18, 19.0, 1)
    assert table([Run("none", [Reply(0, 1.0)], 0, ["no answer"], 1.0, 0, 0)]).count("nan") == 4
