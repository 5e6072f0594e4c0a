# SPDX-License-Identifier: Apache-2.0
"""Values cross between Python and C++, and tensors without a copy."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import splitnet


class Pair(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x, x.relu()


def stage_of(module: torch.nn.Module, *inputs: Any) -> splitnet.Stage:
    return splitnet.Partitioner(torch.jit.script(module), list(inputs)).split()[0]


def test_a_tensor_crosses_without_a_copy_in_either_direction() -> None:
    ten_megabytes = torch.rand(2_500_000)
    same, other = stage_of(Pair(), ten_megabytes).run([ten_megabytes])
    assert same.data_ptr() == ten_megabytes.data_ptr()
    assert other.data_ptr() != ten_megabytes.data_ptr()
    assert torch.equal(other, ten_megabytes.relu())


def test_what_comes_out_keeps_its_memory_alive() -> None:
    same, _ = stage_of(Pair(), torch.rand(4)).run([torch.full((1000,), 7.0)])
    assert torch.equal(same, torch.full((1000,), 7.0))


def test_strides_stay() -> None:
    transposed = torch.rand(3, 5).t()
    same, _ = stage_of(Pair(), torch.rand(5, 3)).run([transposed])
    assert same.stride() == transposed.stride()


def test_a_tensor_that_wants_gradients_is_taken() -> None:
    same, _ = stage_of(Pair(), torch.rand(2)).run([torch.rand(2, requires_grad=True)])
    assert not same.requires_grad


class Containers(torch.nn.Module):
    def forward(
        self, items: list[torch.Tensor], flags: dict[str, int], text: str, scale: float
    ) -> dict[str, torch.Tensor]:
        total = items[0] * scale + float(flags["add"])
        return {text: total, "first": items[0]}


def test_containers_and_scalars_cross() -> None:
    x = torch.ones(2)
    part = splitnet.Partitioner(torch.jit.script(Containers()), [[x], {"add": 3}, "sum", 2.0])
    with splitnet.Session(part) as session:
        result = session([x, x], {"add": 1}, "total", 4.0)
    assert list(result) == ["total", "first"]
    assert torch.equal(result["total"], x * 4 + 1)


@pytest.mark.parametrize("wrong", [object(), {1, 2}, b"bytes"])
def test_what_can_not_travel_is_named(wrong: object) -> None:
    with pytest.raises(splitnet.InvalidArgument, match=type(wrong).__name__):
        stage_of(Pair(), torch.rand(2)).run([wrong])


def test_a_list_that_contains_itself_is_refused() -> None:
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(RecursionError):
        stage_of(Pair(), torch.rand(2)).run([endless])


def test_an_integer_of_more_than_64_bits_is_refused() -> None:
    with pytest.raises(splitnet.InvalidArgument, match="64 bits"):
        stage_of(Pair(), torch.rand(2)).run([1 << 80])
