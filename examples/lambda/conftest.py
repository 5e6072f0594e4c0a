# SPDX-License-Identifier: Apache-2.0
"""Small models, as files, and an input: for the tests of the image and those of what stands in for AWS."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch


class SmallNet(torch.nn.Module):
    """1x3x16x16 to 1x5; any batch."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Conv2d(3, 8, 3, padding=1)
        self.classify = torch.nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.classify(torch.relu(self.first(x)).mean((2, 3)))
        return scores


class Spread(torch.nn.Module):
    """Every row many times as long."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.repeat(1, self.times)


class WideNet(torch.nn.Module):
    """1x8 to 1x2,000,000, 8 MB: a small request and a large reply, or both large when it is cut behind `spread`."""

    def __init__(self) -> None:
        super().__init__()
        self.spread = Spread(250_000)
        self.clip = torch.nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        clipped: torch.Tensor = self.clip(self.spread(x))
        return clipped


class HungryNet(torch.nn.Module):
    """Nx8 to Nx8; takes 80 MB for each row in between."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Linear(8, 8)
        self.spread = Spread(2_500_000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        wide: torch.Tensor = self.spread(self.first(x))
        return wide[:, :8] + 1


def saved(model: torch.nn.Module, example: torch.Tensor, path: Path) -> Path:
    """As TorchScript."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(model.eval(), example).save(str(path))  # type: ignore[no-untyped-call]
    return path


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Their folder."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def photo() -> torch.Tensor:
    return torch.rand((1, 3, 16, 16), generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="session")
def model(models: Path, photo: torch.Tensor) -> Path:
    torch.manual_seed(0)
    return saved(SmallNet(), photo, models / "small.pt")


@pytest.fixture(scope="session")
def wide_model(models: Path) -> Path:
    return saved(WideNet(), torch.ones(1, 8), models / "wide.pt")


@pytest.fixture(scope="session")
def hungry_model(models: Path) -> Path:
    torch.manual_seed(0)
    return saved(HungryNet(), torch.ones(1, 8), models / "hungry.pt")
