# SPDX-License-Identifier: Apache-2.0
"""What the tests of the image share: a small model, and an image with it."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch

import assemble_image

WORKER = Path(__file__).resolve().parents[3] / "build/release/splitnet-worker"


class SmallNet(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Conv2d(3, 8, 3, padding=1)
        self.classify = torch.nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.classify(torch.relu(self.first(x)).mean((2, 3)))
        return scores


@pytest.fixture(scope="session")
def photo() -> torch.Tensor:
    return torch.rand((1, 3, 16, 16), generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory, photo: torch.Tensor) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("models") / "small.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(SmallNet().eval(), photo).save(str(path))  # type: ignore[no-untyped-call]
    return path


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Path:
    assert WORKER.is_file(), f"{WORKER} is missing; scripts/build release makes it"
    out = tmp_path_factory.mktemp("image") / "root"
    return assemble_image.assemble(WORKER, [assemble_image.parse_model(str(model))], out, ["1x3x16x16"])
