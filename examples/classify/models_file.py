# SPDX-License-Identifier: Apache-2.0
"""Models that a person adds by name, as a file of JSON describes them:

    {"coco": {"file": "coco.pt", "labels": "coco_names.txt", "size": 416, "mean": 0, "std": 1, "output": "probabilities"}}

| key | what it is |
| --- | --- |
| `file` | TorchScript: 1 x channels x height x width, float32, to 1 x labels |
| `labels` | of the outputs in their order: a list, or a text with one a line |
| `size` | of the input in pixels: a number, or [height, width] |
| `mean`, `std` | each channel of the input is (pixel - mean) / std of pixels in 0..1: a number, or one for each channel |
| `channels` | 3: red, green, blue, unless it says 1: grey |
| `fit` | "crop": the largest part in the middle with the input's proportions, unless it says "stretch": all of the picture |
| `resize` | with crop: so long is that part's shorter side, and the input is the middle of it; as long as `size`'s unless it is given |
| `interpolation` | "bilinear", unless it says "nearest", "box", "bicubic" or "lanczos" |
| `output` | "logits", unless it says "probabilities" |

Paths are relative to the file's folder. A network with other needs (blue first, channels last, several outputs) is exported with a
`forward` around it that sees to them. A model is code: name only files that you trust.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn

import torch
from PIL import Image

import splitnet
from elastic_pool.classifiers import CLASSIFIERS, MODELS, Classifier, lines_of
from elastic_pool.preprocessing import PerChannel, PhotoPreprocessing

# Part of names of queues, too, which have at most 80 of these characters: the longest is classify-NAME-replies- and 16 more.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,45}")
_TAKEN = re.compile(r"-dead$|-replies(-|$)")  # How the queues end that splitnet has beside one of requests.
_LARGEST_SIDE = 4096
_LEAST_DEVIATION, _LARGEST_DEVIATION = 1e-4, 10.0

_REQUIRED = ("file", "labels", "size", "mean", "std")
_KEYS = (*_REQUIRED, "channels", "fit", "resize", "interpolation", "output")
_INTERPOLATIONS = {
    name: Image.Resampling[name.upper()] for name in ("nearest", "box", "bilinear", "bicubic", "lanczos")
}


class ModelsFileError(ValueError):
    """The file, or one that it names, is not as it should be; says what was found and what was expected."""


def known_models(file: Path | None) -> Mapping[str, Classifier]:
    """The built-in ones, and those of the file, by name. Each of the latter is loaded and run once: takes its time and
    memory. Raises ModelsFileError."""
    return CLASSIFIERS if file is None else {**CLASSIFIERS, **_models_of(file)}


def _models_of(path: Path) -> dict[str, Classifier]:
    try:
        document = json.loads(path.read_bytes(), object_pairs_hook=_without_doubles)
    except (OSError, ValueError, RecursionError) as error:
        raise ModelsFileError(f"the models' file {path}: {error}") from None
    if not isinstance(document, dict) or not document:
        raise ModelsFileError(f"the models' file {path}: found {_shown(document)}, expected an object: name to model")
    models = {}
    for name, description in document.items():
        try:
            models[name] = _model(name, description, path.parent)
            _expect_own_prepared(models[name], [*CLASSIFIERS.values(), *models.values()])
        except ModelsFileError as error:
            raise ModelsFileError(f"the models' file {path}: model {_shown(name)}: {error}") from None
    return models


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Raises ValueError: JSON lets the last of two win, and the other would be missed by nobody."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"found {_shown(key)} twice, expected each name once")
        found[key] = value
    return found


def _model(name: str, description: Any, folder: Path) -> Classifier:
    if not _NAME.fullmatch(name):
        _wrong("found this name, expected up to 46 of A-Z, a-z, 0-9, _ and -, the first a letter or a digit")
    if taken := _TAKEN.search(f"-{name}"):
        _wrong(f"found {taken[0]!r} in the name of its queue, classify-{name}: such queues belong to another one")
    if name in CLASSIFIERS:
        _wrong(f"found a built-in model's name, expected others than {', '.join(CLASSIFIERS)}")
    if not isinstance(description, dict):
        _wrong(f"found {_shown(description)}, expected an object with {', '.join(_REQUIRED)}")
    if unknown := [key for key in description if key not in _KEYS]:
        _wrong(f"found the unknown key {_shown(unknown[0])}, expected some of {', '.join(_KEYS)}")
    if missing := [key for key in _REQUIRED if key not in description]:
        _wrong(f"the key {missing[0]!r} is missing, expected {', '.join(_REQUIRED)}")
    given = _Description(description, folder)
    is_logits = given.one_of("output", {"logits": True, "probabilities": False})
    model = Classifier(name, given.preprocessing(), given.labels(), is_logits, given.path("file"))
    _expect_fitting(model)
    return model


@dataclass(frozen=True)
class _Description:
    """One model's. Raises ModelsFileError naming the key."""

    values: Mapping[str, Any]
    folder: Path

    def path(self, key: str) -> Path:
        name = self.values[key]
        if not isinstance(name, str) or not name or "\0" in name:
            _wrong_value(key, name, "a file's path")
        return (self.folder / name).resolve()

    def labels(self) -> tuple[str, ...]:
        found = self.values["labels"]
        if isinstance(found, str):
            try:
                found = list(lines_of(self.path("labels")))
            except (OSError, UnicodeDecodeError) as error:
                _wrong(f"labels: {error}")
        if not isinstance(found, list) or len(found) < 2:
            _wrong_value("labels", found, "at least two labels, or the path of a file that has them, one a line")
        for index, label in enumerate(found):
            if not isinstance(label, str) or not label.strip():
                _wrong(f"labels: number {index + 1} is {_shown(label)}, expected words")
        return tuple(found)

    def preprocessing(self) -> PhotoPreprocessing:
        height, width = self._size()
        channels: Literal[1, 3] = self.one_of("channels", {3: 3, 1: 1})
        mean = self._per_channel("mean", channels, 0.0, 1.0)
        deviation = self._per_channel("std", channels, _LEAST_DEVIATION, _LARGEST_DEVIATION)
        fit: Literal["crop", "stretch"] = self.one_of("fit", {"crop": "crop", "stretch": "stretch"})
        resize = self._resize(min(height, width), fit)
        resampling = self.one_of("interpolation", _INTERPOLATIONS, "bilinear")
        return PhotoPreprocessing(height, width, mean, deviation, channels, fit, resize, resampling)

    def one_of(self, key: str, known: Mapping[Any, Any], default: Any = None) -> Any:
        """What the key's value stands for; without a default, the first of the known ones is it."""
        value = self.values.get(key, default or next(iter(known)))
        if isinstance(value, bool) or not isinstance(value, str | int) or value not in known:
            _wrong_value(key, value, f"one of {', '.join(map(_shown, known))}")
        return known[value]

    def _size(self) -> tuple[int, int]:
        value = self.values["size"]
        sides = value if isinstance(value, list) else [value, value]
        if len(sides) != 2 or not all(_is_whole(side, 1) for side in sides):
            _wrong_value("size", value, f"a whole number from 1 to {_LARGEST_SIDE}, or two of them: [height, width]")
        return sides[0], sides[1]

    def _resize(self, shorter: int, fit: str) -> int:
        if "resize" not in self.values:
            return 0
        value = self.values["resize"]
        if fit != "crop":
            _wrong_value("resize", value, 'it with "fit": "crop" only')
        if not _is_whole(value, shorter):
            _wrong_value(
                "resize", value, f"a whole number from {shorter} (the input's shorter side) to {_LARGEST_SIDE}"
            )
        return int(value)

    def _per_channel(self, key: str, channels: int, least: float, most: float) -> PerChannel:
        value = self.values[key]
        numbers = value if isinstance(value, list) else [value]
        if len(numbers) not in (1, channels) or not all(_is_number(one, least, most) for one in numbers):
            many = f", or a list of {channels}" if channels > 1 else ""
            _wrong_value(key, value, f"a number from {least:g} to {most:g}, as pixels are in 0..1{many}")
        return tuple(map(float, numbers)) if len(numbers) > 1 else float(numbers[0])


def _expect_fitting(model: Classifier) -> None:
    """Runs the network once, on a black picture."""
    black = -torch.tensor(model.preprocessing.mean) / torch.tensor(model.preprocessing.deviation)
    picture = black.reshape(1, -1, 1, 1).expand(model.shape).contiguous()
    try:
        network = splitnet.Partitioner(model.model_file())
    except (FileNotFoundError, splitnet.Error) as error:
        _wrong(f"file: {error}")
    try:
        with splitnet.Session(network, threads=1) as session:
            output = session(picture)
    except splitnet.Error as error:
        _wrong(f"file: it can't be run on the input {_by(model.shape)}: {error}")
    expected = (1, len(model.names()))
    if not isinstance(output, torch.Tensor) or tuple(output.shape) != expected:
        found = f"{_words(output)} of the input {_by(model.shape)}"
        _wrong(f"file: it makes {found}, expected {_by(expected)}: one number for each of {expected[1]} labels")
    if not output.is_floating_point():
        _wrong(f"file: it makes {output.dtype} numbers, expected floats")
    if not model.gives_logits and not bool(((output >= 0) & (output <= 1)).all()):
        found = f"{float(output.min()):g} to {float(output.max()):g}"
        _wrong(f'output: found {found}, expected probabilities, from 0 to 1; without them it is "logits"')


def _expect_own_prepared(model: Classifier, known: Iterable[Classifier]) -> None:
    """The demonstration writes NAME.prepared beside the file NAME.pt: over no model, and not for two."""
    file = _file(model)
    if file.suffix == ".prepared":
        _wrong_value("file", file.name, "another ending: the demonstration would write over it")
    for other in map(_file, known):
        if other != file and other.with_suffix("") == file.with_suffix(""):
            _wrong_value("file", file.name, f"a name that differs from {other.name} in more than its ending")


def _file(model: Classifier) -> Path:
    """Whether it is there or not."""
    return (MODELS / (model.file or f"{model.name}.pt")).resolve()


def _is_whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= _LARGEST_SIDE


def _is_number(value: Any, least: float, most: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most


def _words(output: Any) -> str:
    return _by(tuple(output.shape)) if isinstance(output, torch.Tensor) else f"a {type(output).__name__}"


def _by(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "a scalar"


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:79]}…"


def _wrong_value(key: str, found: Any, expected: str) -> NoReturn:
    _wrong(f"{key}: found {_shown(found)}, expected {expected}")


def _wrong(words: str) -> NoReturn:
    raise ModelsFileError(words)
