# SPDX-License-Identifier: Apache-2.0
"""What one model of the zoo is: a builder, its inputs at three sizes, and the forms it is saved in."""

import dataclasses
from collections.abc import Callable

import torch

Inputs = Callable[[], tuple]


@dataclasses.dataclass
class Entry:
    """One model.

    `small` is the smallest input that still exercises every layer, `full` the size the architecture
    is meant for, `other` another batch size or picture size (which may fail in the uncut model).
    Inputs are positional. `types` gives their TorchScript types where those can't be inferred.
    """

    name: str
    build: Callable[[], torch.nn.Module]
    small: Inputs
    full: Inputs
    other: Inputs
    # A model whose parameters fix the picture size is built a second time for the small input.
    build_small: Callable[[], torch.nn.Module] | None = None
    script: bool = True
    trace: bool = True
    why: str = ""  # why a form is missing
    expect: str = "ok"  # or "refused"
    note: str = ""
    real_weights: bool = False
    part: bool = False  # belongs to the quick part that scripts/test runs
    part_forms: tuple[str, ...] = ("script", "trace")
    types: dict[int, object] = dataclasses.field(default_factory=dict)
    check: Callable[[object], str] | None = None  # given outputs for `full`: a line, or AssertionError


def noise(*shape: int, seed: int = 0, scale: float = 1.0) -> torch.Tensor:
    """Reproducible standard normal values."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(1000 + seed)) * scale


def pictures(batch: int, side: int, seed: int = 0) -> torch.Tensor:
    """Nx3xSxS noise at every scale, as photos have it.

    Deep layers average white noise away: they would see one grey picture after the other.
    """
    total = torch.zeros(batch, 3, side, side)
    scale = 1
    while scale <= side:
        grid = noise(batch, 3, scale, scale, seed=seed + scale)
        total += torch.nn.functional.interpolate(grid, size=(side, side), mode="bilinear")
        scale *= 2
    return total * 0.4


def picture_inputs(small: int, full: int, other: tuple[int, int]) -> dict[str, Inputs]:
    """Pictures 1x3xSxS; `other` is (batch, side)."""
    batch, side = other
    return {
        "small": lambda: (pictures(1, small),),
        "full": lambda: (pictures(1, full),),
        "other": lambda: (pictures(batch, side),),
    }
