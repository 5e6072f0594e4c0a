# SPDX-License-Identifier: Apache-2.0
"""Values on their way through Ray's object store, or with a call when they are small: tensors as the bytes that they lie
in, and how they lie there.

Ray moves NumPy arrays without a copy and torch's tensors with several. So each storage travels once, as an array of
bytes, and its tensors as views of it: strides stay, and so does that two tensors are views of one storage. Both decide
about the last bits of what a stage computes from them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import ray
import torch

from splitnet.errors import InvalidArgument
from splitnet.ray.asking import asking_ray

_Bytes = np.ndarray[Any, np.dtype[np.uint8]]

#: As torch aligns what it allocates: matrix products give other last bits on memory that lies otherwise.
_ALIGNMENT = 64

#: Up to here Ray sends a value with the call that takes it (its max_direct_call_object_size).
_SENT_WITH_CALL_BYTES = 100 * 1024


@dataclass(frozen=True)
class _View:
    """A tensor in one of the storages; `offset` in elements."""

    storage: int
    dtype: torch.dtype
    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int


@dataclass(frozen=True)
class Packed:
    """What travels: the values with a _View for each tensor, and the bytes of the storages."""

    values: list[Any]
    storages: list[_Bytes] = field(default_factory=list)

    @property
    def size_bytes(self) -> int:
        """Of the tensors."""
        return sum(one.nbytes for one in self.storages)


def pack(values: Sequence[Any]) -> Packed:
    """Copies nothing: the values must stay as they are until Ray has taken what this returns.

    Raises InvalidArgument: a type that can't travel, or a tensor that is not dense or not on the processor.
    """
    tensors: list[torch.Tensor] = []
    tree = [_each_tensor(value, lambda one: _noted(one, tensors)) for value in values]
    spans = _spans(tensors)
    numbers = {key: number for number, key in enumerate(spans)}
    views = [_view(one, numbers[_key(one)], spans[_key(one)][1]) for one in tensors]
    storages = [_bytes_of(one)[begin:end] for one, begin, end in spans.values()]
    return Packed([_each_tensor(value, lambda index: views[index.number]) for value in tree], storages)


def unpack(packed: Packed, *, copy: bool) -> list[Any]:
    """The values. Without `copy` their bytes may be those of the object store, which nobody may write to."""
    storages = [_memory(one, copy) for one in packed.storages]
    return [_each_tensor(value, lambda view: _tensor(view, storages)) for value in packed.values]


def handed_over(packed: Packed) -> Any:
    """For calls that take a Packed; the values that were packed need not stay as they are any more.

    A reference to the object store, or a copy of what is small: that it goes with the call saves two ways to the store.
    Raises Unavailable.
    """
    if packed.size_bytes > _SENT_WITH_CALL_BYTES:
        with asking_ray("inputs"):
            return ray.put(packed)
    return pack(unpack(packed, copy=True))


@dataclass(frozen=True)
class _Number:
    """Stands for a tensor while the storages are not known."""

    number: int


def _noted(tensor: torch.Tensor, tensors: list[torch.Tensor]) -> _Number:
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
        raise InvalidArgument(
            f"found a tensor with layout {tensor.layout}, dtype {tensor.dtype}, on {tensor.device}, "
            "expected a dense one on the processor"
        )
    tensors.append(tensor.detach().resolve_conj().resolve_neg())
    return _Number(len(tensors) - 1)


def _each_tensor(value: Any, change: Callable[[Any], Any]) -> Any:
    """The same value with every tensor, or what stands for one, changed. Raises InvalidArgument."""
    if isinstance(value, torch.Tensor | _Number | _View):
        return change(value)
    if isinstance(value, list):
        return [_each_tensor(one, change) for one in value]
    if isinstance(value, tuple):
        return tuple(_each_tensor(one, change) for one in value)
    if isinstance(value, dict):
        return {key: _each_tensor(one, change) for key, one in value.items()}
    if value is None or isinstance(value, bool | int | float | complex | str):
        return value
    raise InvalidArgument(
        f"found a value of type {type(value).__name__}, expected torch.Tensor, None, bool, int, float, complex, str, "
        "or a list, tuple or dict of them"
    )


def _key(tensor: torch.Tensor) -> tuple[int, int]:
    """The same for views of one storage."""
    storage = tensor.untyped_storage()
    return storage.data_ptr(), storage.nbytes()


def _spans(tensors: Sequence[torch.Tensor]) -> dict[tuple[int, int], tuple[torch.Tensor, int, int]]:
    """For each storage one of its tensors, and from which byte to which they all lie."""
    spans: dict[tuple[int, int], tuple[torch.Tensor, int, int]] = {}
    for one in tensors:
        begin = int(one.storage_offset()) * one.element_size()
        reach = sum((int(size) - 1) * int(stride) for size, stride in zip(one.shape, one.stride(), strict=True))
        end = begin + (reach + 1) * one.element_size() if one.numel() else begin
        begin -= begin % _ALIGNMENT
        first, known_begin, known_end = spans.get(_key(one), (one, begin, end))
        spans[_key(one)] = first, min(begin, known_begin), max(end, known_end)
    return spans


def _bytes_of(tensor: torch.Tensor) -> _Bytes:
    """Of its whole storage."""
    return torch.empty(0, dtype=torch.uint8).set_(tensor.untyped_storage()).numpy()


def _view(tensor: torch.Tensor, storage: int, begin: int) -> _View:
    offset = int(tensor.storage_offset()) - begin // tensor.element_size()
    return _View(storage, tensor.dtype, tuple(tensor.shape), tensor.stride(), offset)


def _memory(array: _Bytes, copy: bool) -> torch.Tensor:
    if not copy and array.ctypes.data % _ALIGNMENT == 0:
        return torch.from_numpy(array)
    memory = torch.empty(array.nbytes, dtype=torch.uint8)
    memory.numpy()[:] = array
    return memory


def _tensor(view: _View, storages: Sequence[torch.Tensor]) -> torch.Tensor:
    storage = storages[view.storage].untyped_storage()
    return torch.empty(0, dtype=view.dtype).set_(storage, view.offset, view.sizes, view.strides)
