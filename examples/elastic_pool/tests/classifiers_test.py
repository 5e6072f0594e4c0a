# SPDX-License-Identifier: Apache-2.0
"""Classifiers with trained weights: they know what photos show, and workers give the same bits."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

import splitnet
from common.package_files import ROOT, package_file
from common.pictures import PictureError
from elastic_pool import photos
from elastic_pool.classifiers import CLASSIFIERS, EXPORTS, MODELS, Label, UnknownClassifierError, classifier

IMAGENET = [name for name in CLASSIFIERS if name != "emotion"]


@pytest.fixture(scope="module", autouse=True)
def models() -> Path:
    for script in EXPORTS:
        subprocess.run([ROOT / ".venv/bin/python", script], check=True)
    return MODELS


@contextmanager
def on_this_machine(name: str) -> Iterator[Callable[[bytes], Label]]:
    """The label of a picture's file, without workers."""
    one = classifier(name)
    with splitnet.Session(splitnet.Partitioner(one.model_file()), threads=1) as session:
        yield lambda file: one.label(session(one.pixels(file)))


@pytest.mark.parametrize("name", IMAGENET)
def test_photos_of_imagenet_are_recognised(name: str) -> None:
    names = classifier(name).names(MODELS)
    assert len(names) == 1000
    with on_this_machine(name) as label_of:
        found = {file: label_of(package_file(file).read_bytes()) for file in list(photos.IMAGENET)[:10]}
    right = [file for file, label in found.items() if label.name == names[photos.IMAGENET[file]]]
    assert len(right) >= 8, found
    assert all(0 < label.probability <= 1 for label in found.values())


def test_the_largest_face_is_happy() -> None:
    with on_this_machine("emotion") as label_of:
        label = label_of((MODELS / "emotion_photo.jpg").read_bytes())
        assert label.name == "happy" and label.probability > 0.9
        with pytest.raises(PictureError, match="no face was found"):
            label_of(package_file("skimage/data/coffee.png").read_bytes())


@pytest.mark.parametrize("name", ["mobilenet_v2", "efficientnet_lite2", "emotion"])
def test_a_worker_gets_the_pixels_as_they_are(name: str) -> None:
    one = classifier(name)
    pixels = one.pixels((MODELS / "emotion_photo.jpg").read_bytes())
    assert tuple(pixels.shape) == one.shape and pixels.is_contiguous()
    part = splitnet.Partitioner(one.model_file())
    with splitnet.Session(part, threads=1) as here:
        expected = here(pixels)
    with splitnet.Worker(part, threads=1) as worker, one.open_session(worker.address, deadline_s=60) as session:
        answer = session.run(pixels)
    assert torch.equal(answer.output, expected)
    assert answer.answered_by == worker.address
    assert answer.times.hops[0].request_bytes < pixels.nbytes / 3.9


def test_without_workers_there_is_no_answer() -> None:
    one = classifier("emotion")
    pixels = one.pixels((MODELS / "emotion_photo.jpg").read_bytes())
    with splitnet.Worker(splitnet.Partitioner(one.model_file()), threads=1) as worker:
        with one.open_session(worker.address, deadline_s=0.5) as session:
            worker.close()
            with pytest.raises((splitnet.Unavailable, splitnet.DeadlineExceeded)):
                session.run(pixels)


def test_unknown_models_are_told_the_known_ones() -> None:
    with pytest.raises(UnknownClassifierError) as error:
        classifier("../resnet")
    known = "mobilenet_v2, efficientnet_lite0, efficientnet_lite1, efficientnet_lite2, emotion"
    assert str(error.value) == f"no model is called '../resnet', expected one of {known}"


def test_missing_files_say_what_writes_them(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"emotion\.pt is missing; .*elastic_pool/export_model\.py"):
        classifier("emotion").open_session("tcp://127.0.0.1:1", deadline_s=1, folder=tmp_path)


def test_photos_vary_and_stay_what_they_are() -> None:
    found = list(photos.varied_photos(30))
    assert len({one.file for one in found}) == len({one.name for one in found}) == 30
    assert found == list(photos.varied_photos(30))
    with on_this_machine("efficientnet_lite0") as label_of:
        labels = [label_of(photo.file).name for photo in (found[0], found[24])]
    assert labels == ["bull mastiff"] * 2  # 24 photos, so these are one of them.
