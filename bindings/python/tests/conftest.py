# SPDX-License-Identifier: Apache-2.0
"""What the tests of the package share: small models, and workers in this process."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import splitnet
from report_documents import document as document, html as html, make_document as make_document


class SmallNet(torch.nn.Module):
    """Two convolutions with names, a residual sum, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Conv2d(3, 8, 3, padding=1)
        self.second = torch.nn.Conv2d(8, 8, 3, padding=1)
        self.classify = torch.nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(self.first(x))
        y = torch.relu(self.second(y)) + y
        scores: torch.Tensor = self.classify(y.mean((2, 3)))
        return scores


@pytest.fixture(scope="session")
def photo() -> torch.Tensor:
    return torch.rand((1, 3, 16, 16), generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="session")
def model_file(tmp_path_factory: pytest.TempPathFactory, photo: torch.Tensor) -> Path:
    """A traced model, saved."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("models") / "small.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(SmallNet().eval(), photo).save(str(path))  # type: ignore[no-untyped-call]
    return path


@pytest.fixture(scope="session")
def part(model_file: Path, photo: torch.Tensor) -> splitnet.Partitioner:
    return splitnet.Partitioner(model_file, [photo])


@pytest.fixture
def worker(part: splitnet.Partitioner) -> Iterator[splitnet.Worker]:
    with splitnet.Worker(part) as served:
        yield served
