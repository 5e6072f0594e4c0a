# SPDX-License-Identifier: Apache-2.0
"""How tensors travel: the values alone, without a Ray that runs."""

from __future__ import annotations

import torch

import local_ray  # noqa: F401
from splitnet.ray.values import handed_over, pack, unpack


def test_tensors_keep_their_strides_their_bits_and_who_shares_memory() -> None:
    base = torch.rand(6, 8)
    base[0, 0], base[0, 1] = float("nan"), float("inf")
    large = torch.zeros(100_000)
    values = [
        base.t(), base[2:4, ::2], torch.rand(2, 3).to(torch.bfloat16), torch.empty(0, 3), torch.ones(1).expand(5, 4),
        large[70_001:70_004], {"a": [1, 2.5, None, "x", True, 1j]}, (torch.arange(3), torch.tensor([True])),
    ]  # fmt: skip
    packed = pack(values)
    assert packed.size_bytes < 1000, "what nobody looks at stays here"
    for copy in (True, False):
        got = unpack(packed, copy=copy)
        for ours, theirs in zip(values[:6], got[:6], strict=True):
            assert isinstance(ours, torch.Tensor)
            assert theirs.stride() == ours.stride() and theirs.dtype == ours.dtype
            assert torch.equal(theirs.contiguous().view(torch.uint8), ours.contiguous().view(torch.uint8))
            assert theirs.untyped_storage().data_ptr() % 64 == 0
        assert got[6] == values[6] and isinstance(got[7], tuple) and torch.equal(got[7][0], torch.arange(3))
        assert got[0].untyped_storage().data_ptr() == got[1].untyped_storage().data_ptr()
    got = unpack(packed, copy=True)
    got[0].zero_()
    assert got[1].sum() == 0 and base[2:4].sum() > 0


def test_what_is_small_is_handed_over_as_a_copy() -> None:
    base = torch.rand(40, 40)
    expected = base.clone()
    small = handed_over(pack([base.t(), base[3:5], "x"]))
    base.zero_()
    columns, rows, text = unpack(small, copy=False)
    assert torch.equal(columns.t(), expected) and torch.equal(rows, expected[3:5]) and text == "x"
    assert columns.stride() == (1, 40)
    assert columns.untyped_storage().data_ptr() == rows.untyped_storage().data_ptr()
