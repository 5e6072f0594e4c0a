# SPDX-License-Identifier: Apache-2.0
"""Models that a person adds by name: asked like the built-in ones; what is wrong in their file is said at the start."""

from __future__ import annotations

import io
import json
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import splitnet
from classify.models_file import ModelsFileError, known_models
from classify.server import main
from classify.tests.coco_model import DESCRIPTION, write_coco
from classify.tests.conftest import BUCKET
from common.package_files import package_file
from common.server_process import ServerProcess, running_server
from elastic_pool.classifiers import CLASSIFIERS, MODELS, classifier
from emotion.faces import find_faces, open_photo
from local_aws import LocalAws


@pytest.fixture(scope="module")
def coco(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that describes it."""
    return write_coco(tmp_path_factory.mktemp("models"))


def test_built_in_ones_stay() -> None:
    assert known_models(None) is CLASSIFIERS


def test_an_added_model_knows_what_photos_show(coco: Path) -> None:
    known = known_models(coco)
    assert list(known) == [*CLASSIFIERS, "coco"]
    one = classifier("coco", known)
    with splitnet.Session(splitnet.Partitioner(one.model_file()), threads=1) as session:
        photos = [package_file(f"skimage/data/{name}.png").read_bytes() for name in ("chelsea", "motorcycle_left")]
        found = [one.label(session(one.pixels(photo))).name for photo in photos]
    assert found == ["cat", "motorbike"]


@pytest.fixture(scope="module")
def service(coco: Path, models: None, photos: ServerProcess, aws: LocalAws) -> Iterator[ServerProcess]:
    """Its workers have the added model, and a built-in one."""
    served = {name: splitnet.Partitioner(known_models(coco)[name].model_file()) for name in ("coco", "mobilenet_v2")}
    with (
        splitnet.Worker(served, threads=1) as worker,
        running_server(
            "classify.server",
            *("--bucket", BUCKET, "--worker", worker.address, "--models", str(coco)),
            *("--allow-address", photos.url.removeprefix("http://")),
            environment=aws.environment,
        ) as started,
    ):
        yield started


def answer(url: str) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(url, timeout=120) as found:
            return found.status, json.load(found)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_an_added_model_is_asked_by_its_name(service: ServerProcess, photos: ServerProcess, coco: Path) -> None:
    name = answer(photos.url)[1][0]
    photo = f"{photos.url}/{name}"
    with urllib.request.urlopen(photo) as file:
        picture = file.read()
    one = known_models(coco)["coco"]
    with splitnet.Session(splitnet.Partitioner(one.model_file()), threads=1) as session:
        expected = one.label(session(one.pixels(picture)))
    status, found = answer(f"{service.url}/classify?url={photo}&model=coco")
    assert (status, found["model"], found["label"]) == (200, "coco", "dog")
    assert (found["label"], found["probability"]) == (expected.name, round(expected.probability, 4))
    assert answer(f"{service.url}/results/{found['id']}") == (200, found)
    assert answer(f"{service.url}/classify?url={photo}")[1]["label"] == "bull mastiff"
    assert answer(f"{service.url}/models")[1]["models"] == [*CLASSIFIERS, "coco"]
    status, found = answer(f"{service.url}/classify?url={photo}&model=resnet50")
    expected_words = f"expected one of {', '.join(CLASSIFIERS)}, coco"
    assert status == 404 and found["error"] == f"no model is called 'resnet50', {expected_words}"


@pytest.mark.parametrize("name", ["x" * 46, "dead-coco", "coco-dead-2", "undead", "coco_replies-2"])
def test_names_that_leave_room_for_those_of_queues(name: str, coco: Path) -> None:
    file = coco.with_name("named.json")
    file.write_text(json.dumps({name: DESCRIPTION}))
    assert list(known_models(file)) == [*CLASSIFIERS, name]


def without(key: str) -> dict[str, Any]:
    return {name: value for name, value in DESCRIPTION.items() if name != key}


BAD = {
    "no object": ([DESCRIPTION], "expected an object: name to model"),
    "no model": ({}, "found {}, expected an object"),
    "a built-in name": ({"emotion": DESCRIPTION}, '"emotion": found a built-in model\'s name'),
    "no name of a queue": ({"../coco": DESCRIPTION}, '"../coco": found this name, expected up to 46 of A-Z'),
    "a long name": ({"x" * 47: DESCRIPTION}, "found this name, expected up to 46"),
    **{
        f"the name {name}": ({name: DESCRIPTION}, f"found '{taken}' in the name of its queue, classify-{name}: ")
        for name, taken in [
            ("coco-dead", "-dead"),
            ("dead", "-dead"),
            ("coco-replies-0123456789abcdef", "-replies-"),
            ("replies-0123456789abcdef", "-replies-"),
            ("coco-replies", "-replies"),
        ]
    },
    "no description": ({"coco": "coco.pt"}, '"coco": found "coco.pt", expected an object with file, labels, size'),
    "an unknown key": ({"coco": {**DESCRIPTION, "deviation": 1}}, 'the unknown key "deviation", expected some of file'),
    "a missing key": ({"coco": without("std")}, "the key 'std' is missing, expected file, labels, size, mean, std"),
    **{
        f"{key} is {value!r}": ({"coco": {**DESCRIPTION, key: value}}, words)
        for key, value, words in [
            ("file", "gone.pt", "gone.pt is missing"),
            ("file", "bad.json", "is not an intact TorchScript file"),
            ("file", ".", "is a directory, expected a TorchScript file"),
            ("file", 7, "file: found 7, expected a file's path"),
            ("file", "", 'file: found "", expected a file\'s path'),
            ("labels", "gone.txt", "labels: [Errno 2] No such file or directory"),
            ("labels", "coco.pt", "labels: 'utf-8' codec can't decode"),
            (
                "labels",
                ["cat", "dog"],
                "it makes 1x80 of the input 1x3x416x416, expected 1x2: one number for each of 2",
            ),
            ("labels", ["cat"], 'labels: found ["cat"], expected at least two labels'),
            ("labels", ["cat", " "], 'labels: number 2 is " ", expected words'),
            ("labels", ["cat", None], "labels: number 2 is null, expected words"),
            ("size", 0, "size: found 0, expected a whole number from 1 to 4096, or two"),
            ("size", 10**9, "size: found 1000000000, expected"),
            ("size", "416", 'size: found "416", expected'),
            ("size", True, "size: found true, expected"),
            ("size", [416, 416, 3], "size: found [416, 416, 3], expected"),
            ("size", 1, "file: it can't be run on the input 1x3x1x1: "),
            ("channels", 4, "channels: found 4, expected one of 3, 1"),
            ("channels", 1, "file: it can't be run on the input 1x1x416x416: "),
            ("mean", 127.5, "mean: found 127.5, expected a number from 0 to 1, as pixels are in 0..1, or a list of 3"),
            ("mean", [0.5, 0.5], "mean: found [0.5, 0.5], expected"),
            ("mean", float("nan"), "mean: found NaN, expected"),
            ("std", 0, "std: found 0, expected a number from 0.0001 to 10"),
            ("std", [1, 1, "1"], 'std: found [1, 1, "1"], expected'),
            ("fit", "pad", 'fit: found "pad", expected one of "crop", "stretch"'),
            ("fit", ["crop"], 'fit: found ["crop"], expected one of'),
            ("resize", 448, 'resize: found 448, expected it with "fit": "crop" only'),
            ("interpolation", "cubic", 'interpolation: found "cubic", expected one of "nearest", "box", "bilinear"'),
            ("output", "probability", 'output: found "probability", expected one of "logits", "probabilities"'),
        ]
    },
    "too small a resize": (
        {"coco": {**DESCRIPTION, "fit": "crop", "resize": 415}},
        "resize: found 415, expected a whole number from 416",
    ),
    "logits, not probabilities": (
        {
            "lite": {
                "file": str(MODELS / "efficientnet_lite0.pt"),
                "labels": str(MODELS / "imagenet_classes.txt"),
                "size": 224,
                "mean": 127 / 255,
                "std": 128 / 255,
                "output": "probabilities",
            }
        },
        "expected probabilities, from 0 to 1",
    ),
    "several outputs": (
        {"boxes": {**DESCRIPTION, "file": str(MODELS / "yolov3_tiny.pt")}},
        "it makes a tuple of the input 1x3x416x416, expected 1x80",
    ),
}


def test_each_file_has_its_own_prepared_one(coco: Path, models: None) -> None:
    """Of which the demonstration takes the name from the model's."""
    for name in ("net.pt", "net.ts", "net.prepared", "net.v2.pt"):
        shutil.copy(coco.with_name("coco.pt"), coco.with_name(name))
    file = coco.with_name("nets.json")

    def known(**files: str) -> list[str]:
        file.write_text(json.dumps({name: {**DESCRIPTION, "file": one} for name, one in files.items()}))
        return list(known_models(file))

    assert known(one="net.pt", same="./net.pt", two="net.v2.pt") == [*CLASSIFIERS, "one", "same", "two"]
    expected = 'model "two": file: found "net.ts", expected a name that differs from net.pt in more than its ending'
    with pytest.raises(ModelsFileError, match=expected):
        known(one="net.pt", two="net.ts")
    with pytest.raises(ModelsFileError, match='file: found "net.prepared", expected another ending'):
        known(one="net.prepared")


def test_a_file_beside_a_built_in_one_has_another_name(coco: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("classify.models_file.MODELS", coco.parent)
    shutil.copy(coco.with_name("coco.pt"), coco.with_name("emotion.ts"))
    file = coco.with_name("beside.json")
    file.write_text(json.dumps({"mine": {**DESCRIPTION, "file": "emotion.ts"}}))
    with pytest.raises(ModelsFileError, match='found "emotion.ts", expected a name that differs from emotion.pt'):
        known_models(file)


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_said(name: str, coco: Path, models: None) -> None:
    document, words = BAD[name]
    file = coco.with_name("bad.json")
    file.write_text(json.dumps(document))
    with pytest.raises(ModelsFileError) as error:
        known_models(file)
    assert str(error.value).startswith(f"the models' file {file}: ") and words in str(error.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "Expecting value: line 1"),
        (b'{"coco": ', "Expecting value: line 1"),
        (b"\xff\xfe\xfd", "codec can't decode"),
        (b"[" * 100_000, "recursion"),
        (b'{"coco": {}, "coco": {}}', 'found "coco" twice, expected each name once'),
        (b'{"coco": {"size": 1, "size": 2}}', 'found "size" twice'),
    ],
)
def test_what_is_no_json_is_said(text: bytes, words: str, tmp_path: Path) -> None:
    file = tmp_path / "models.json"
    file.write_bytes(text)
    with pytest.raises(ModelsFileError) as error:
        known_models(file)
    assert words in str(error.value)


def test_the_server_does_not_start_with_a_bad_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--bucket", BUCKET, "--models", str(tmp_path / "gone.json")]) == 1
    assert "classify.server: the models' file" in (said := capsys.readouterr().err) and "No such file" in said


def test_labels_from_a_list_and_grey_pictures(tmp_path: Path, models: None) -> None:
    """The network of `emotion`, shown pictures that are a face."""
    emotion = CLASSIFIERS["emotion"]
    described = {"file": str(emotion.model_file()), "labels": list(emotion.names()), "output": "probabilities"}
    shown = {"size": 64, "channels": 1, "mean": 0.5, "std": [0.5]}
    file = tmp_path / "models.json"
    file.write_text(json.dumps({"face": described | shown}))
    one = known_models(file)["face"]
    assert one.codec == emotion.codec and one.shape == emotion.shape
    photo = open_photo((MODELS / "emotion_photo.jpg").read_bytes())
    left, top, width, height = find_faces(photo)[0].box
    face = io.BytesIO()
    photo.crop((left, top, left + width, top + height)).save(face, "PNG")
    with splitnet.Session(splitnet.Partitioner(one.model_file()), threads=1) as session:
        assert one.label(session(one.pixels(face.getvalue()))).name == "happy"
