# SPDX-License-Identifier: Apache-2.0
"""The package `fer`'s own search, crop and scaling, up to where it would call its network."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType
from typing import Any
from unittest import mock

import cv2
import numpy
import torch
from PIL import Image

from common.package_files import ROOT

# What fer.py imports and does not need for this: TensorFlow, the web, …
_STAND_INS = ("pkg_resources", "requests", "tensorflow", "tensorflow.keras", "tensorflow.keras.models", "fer.utils")


def fer_faces(picture: Image.Image) -> tuple[list[tuple[int, ...]], torch.Tensor]:
    """The boxes that fer finds in an RGB picture, in its order, and what it gives to the network: Nx1x64x64."""
    detector = _fer_module().FER()
    classified: list[Any] = []

    def classify(grey_faces: Any) -> Any:
        classified.append(grey_faces)
        return numpy.zeros((len(grey_faces), 7))

    detector._classify_emotions = classify
    found = detector.detect_emotions(cv2.cvtColor(numpy.asarray(picture), cv2.COLOR_RGB2BGR))
    return [tuple(map(int, one["box"])) for one in found], torch.from_numpy(classified[0])[:, None]


def _fer_module() -> Any:
    (path,) = ROOT.glob(".venv/lib/python3*/site-packages/fer/fer.py")
    stand_ins: dict[str, ModuleType] = {name: mock.MagicMock() for name in _STAND_INS}
    stand_ins["fer.utils"].load_image = lambda image: image  # type: ignore[attr-defined]
    package = ModuleType("fer")
    package.__path__ = [str(path.parent)]
    with mock.patch.dict(sys.modules, {**stand_ins, "fer": package}):
        spec = importlib.util.spec_from_file_location("fer.fer", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module
