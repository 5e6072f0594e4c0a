# SPDX-License-Identifier: Apache-2.0
"""The files that export_model.py wrote."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from common.package_files import ROOT
from detection import boxes

if TYPE_CHECKING:  # The function that runs the whole network does without.
    import splitnet

FOLDER = ROOT / "build/models"
MODEL_NAME = "yolov3_tiny"  #: By which workers and sessions know it.

#: 1x3xSxS in 0..1 to the two raw heads.
Network = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


def model_file(folder: Path = FOLDER) -> Path:
    """Raises FileNotFoundError, as the others here, naming what makes it."""
    return _existing(folder / f"{MODEL_NAME}.pt")


def class_names(folder: Path = FOLDER) -> list[str]:
    """The 80 classes of COCO, in the network's order."""
    return _existing(folder / "coco_names.txt").read_text().splitlines()


def sample_photos(folder: Path = FOLDER) -> list[Path]:
    """JPEG files, in the order of their names."""
    return sorted(_existing(folder / "detection_photos").glob("*.jpg"))


def partitioner(folder: Path = FOLDER) -> splitnet.Partitioner:
    """The network, ready to be cut; its example input is a real photo, on which plans time codecs for pictures."""
    example = boxes.read_photo(sample_photos(folder)[0].read_bytes()).pixels
    import splitnet

    return splitnet.Partitioner(model_file(folder), [example])


def plain_network(folder: Path = FOLDER) -> Network:
    """The whole network in plain torch, optimised for inference."""
    network = torch.jit.freeze(torch.jit.load(str(model_file(folder))))  # type: ignore[no-untyped-call]

    def run(pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.inference_mode():
            heads: tuple[torch.Tensor, torch.Tensor] = network(pixels)
            return heads

    return run


def _existing(path: Path) -> Path:
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: .venv/bin/python examples/detection/export_model.py makes it")
    return path
