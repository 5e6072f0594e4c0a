# SPDX-License-Identifier: Apache-2.0
"""Values in a file that both Python and C++ read, with their TorchScript types.

The file is a scripted module without methods whose attributes are `n` (int) and `v0` … `v{n-1}`:
`torch::jit::load(path).attr("v0")` gives the IValue, typed (a Dict[str, Tensor] stays one, which
a plain pickle would lose).
"""

import typing

import torch


class _Holder(torch.nn.Module):
    pass


def _type_of(value: object) -> object:
    if isinstance(value, torch.Tensor):
        return torch.Tensor
    if value is None:
        return typing.Optional[torch.Tensor]
    if isinstance(value, (bool, int, float, str, complex)):
        return type(value)
    if isinstance(value, tuple):
        return typing.Tuple[tuple(_type_of(v) for v in value)]
    if isinstance(value, list):
        return typing.List[_type_of(value[0]) if value else torch.Tensor]
    if isinstance(value, dict):
        key, item = next(iter(value.items()))
        return typing.Dict[_type_of(key), _type_of(item)]
    raise TypeError(f"no container type for {type(value).__name__}")


def save_values(values: list, path: str, types: dict[int, object] | None = None) -> None:
    holder = _Holder()
    for i, value in enumerate(values):
        kind = (types or {}).get(i, _type_of(value))
        setattr(holder, f"v{i}", torch.jit.Attribute(value, kind))
    holder.n = torch.jit.Attribute(len(values), int)
    torch.jit.save(torch.jit.script(holder), path)


def load_values(path: str) -> list:
    holder = torch.jit.load(path)
    return [getattr(holder, f"v{i}") for i in range(holder.n)]


def flatten(value: object) -> list:
    """Leaves in order: tuples and lists in order, dicts in insertion order."""
    if isinstance(value, (tuple, list)):
        return [leaf for v in value for leaf in flatten(v)]
    if isinstance(value, dict):
        return [leaf for v in value.values() for leaf in flatten(v)]
    return [value]
