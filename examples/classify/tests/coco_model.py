# SPDX-License-Identifier: Apache-2.0
"""A model that is none of the built-in ones: YOLOv3-tiny with its trained weights says which of COCO's 80 things a photo shows."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import torch

from common.package_files import ROOT
from elastic_pool.classifiers import MODELS

DESCRIPTION = {
    "file": "coco.pt",
    "labels": "coco_names.txt",
    "size": 416,
    "fit": "stretch",
    "mean": 0,
    "std": 1,
    "output": "probabilities",
}


class SurestBox(torch.nn.Module):
    """Of each thing, how sure the detector is of the best of its boxes."""

    def __init__(self, detector: torch.nn.Module) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        coarse, fine = self.detector(x)
        return torch.maximum(self.best(coarse), self.best(fine))

    def best(self, head: torch.Tensor) -> torch.Tensor:
        """1 x 255 x height x width to 1 x 80: three boxes a place, each x, y, width, height, whether, and what it is."""
        boxes = head.reshape(1, 3, 85, -1).sigmoid()
        return (boxes[:, :, 4:5] * boxes[:, :, 5:]).amax((1, 3))


def write_coco(folder: Path) -> Path:
    """The network, its labels, and the file that describes it, whose path is returned."""
    subprocess.run([ROOT / ".venv/bin/python", ROOT / "examples/detection/export_model.py"], check=True)
    detector = torch.jit.load(MODELS / "yolov3_tiny.pt")  # type: ignore[no-untyped-call]
    torch.jit.save(torch.jit.script(SurestBox(detector).eval()), folder / "coco.pt")
    shutil.copy(MODELS / "coco_names.txt", folder)
    file = folder / "models.json"
    file.write_text(json.dumps({"coco": DESCRIPTION}))
    return file
