# SPDX-License-Identifier: Apache-2.0
"""Where the network runs changes where its time goes, not what it finds."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

import splitnet
from detection.codecs import calibrated
from detection.detector import Detector, in_session
from detection.placing import INPUT, MAX_ACCURACY_LOSS, open_session


def found(
    session: splitnet.Session, names: list[str], photos: dict[str, Path], answered_by: str = ""
) -> dict[str, list[str]]:
    """Labels by photo, best first."""
    detector = Detector(in_session(session), names)
    answers = {name: detector.detect(photo.read_bytes()) for name, photo in photos.items()}
    assert {answer.steps.answered_by for answer in answers.values()} == {answered_by}
    return {name: [one.label for one in answer.objects] for name, answer in answers.items()}


def split(worker: splitnet.Worker, cut: str, codec: str) -> argparse.Namespace:
    return argparse.Namespace(worker=worker.address, cut=cut, codec=codec, threads=1)


def test_codecs_that_a_plan_may_choose_keep_all_objects(
    part: splitnet.Partitioner,
    session: splitnet.Session,
    worker: splitnet.Worker,
    names: list[str],
    photos: dict[str, Path],
) -> None:
    expected = found(session, names, photos)
    assert [labels for labels in expected.values() if labels][0] == ["person"]
    tried = []
    for one in calibrated(part).profiles():
        if one.accuracy_loss <= MAX_ACCURACY_LOSS:
            cut = part.layers.layers[len(one.head) - 1].name if one.head else INPUT
            with open_session(part, split(worker, cut, one.name)) as opened:
                assert found(opened, names, photos, worker.address) == expected, one.name
            tried.append(one.name.partition(":")[0])
    assert {"raw", "u8", "int8", "transform"} <= set(tried)


def test_a_token_is_taken_from_the_environment(
    part: splitnet.Partitioner, names: list[str], photos: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    token = "a-token-of-the-tests-of-detection"
    with splitnet.Worker(part, threads=1, token=token) as guarded:
        with pytest.raises(splitnet.Unauthenticated):
            open_session(part, split(guarded, "max_pool2d#4", "raw"))
        monkeypatch.setenv("SPLITNET_TOKEN", token)
        with open_session(part, split(guarded, "max_pool2d#4", "raw")) as opened:
            assert found(opened, names, {"cat": photos["cat"]}, guarded.address) == {"cat": ["cat"]}


def test_when_the_worker_goes_the_device_finishes_and_says_so(
    part: splitnet.Partitioner, photos: dict[str, Path], names: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with (
        splitnet.Worker(part, threads=1) as leaving,
        open_session(part, split(leaving, "max_pool2d#4", "raw")) as session,
    ):
        detector = Detector(in_session(session), names)
        cat = photos["cat"].read_bytes()
        assert detector.detect(cat).steps.answered_by == leaving.address
        assert capsys.readouterr().err == ""
        leaving.close()
        answer = detector.detect(cat)
    assert [one.label for one in answer.objects] == ["cat"] and answer.steps.answered_by == ""
    assert capsys.readouterr().err == "detector: the worker gave no answer, so this device finished\n"
