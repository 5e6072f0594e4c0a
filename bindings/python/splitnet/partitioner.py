# SPDX-License-Identifier: Apache-2.0
"""Cutting a TorchScript model anywhere."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch

from splitnet import _core
from splitnet.errors import InvalidArgument
from splitnet.layer_table import html_of_layers, text_of_layers
from splitnet.module_source import to_script_module

#: What can stand where a cut is expected: the name of a layer or module path, the number of a layer, a list of layers.
CutLike: TypeAlias = _core.Cut | str | int | list[int]


@dataclass(frozen=True)
class SequentialCut:
    """The cut behind one layer, in program order."""

    index: int  #: The head is layers 0 … index.
    layer: str  #: Name of the last layer of the head.
    boundary_bytes: int  #: What crosses it, uncompressed, in the example run.
    refusal: str  #: Why it is refused; empty: it is legal.


class Partitioner(_core.Model):
    """A model that can be cut.

    `source` is the path of a TorchScript file, a `torch.jit.ScriptModule`, or an `nn.Module`, which is traced or
    scripted (a `Notice` says which). It is put in evaluation mode, frozen and inlined; nothing of yours changes.
    `example_inputs`, one for each argument of `forward`, are run once, to learn shapes and sizes; profiles and plans
    need them. `bind_inputs` names inputs (by number) that are fixed to the example's value.

    A model file is code: load only files that you trust.

    Immutable and safe to use from several threads. Raises InvalidArgument (no such file, inputs that do not fit),
    Corrupt (not a TorchScript file), UnsupportedModel (a state that `forward` changes, …).
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | torch.nn.Module,
        example_inputs: Sequence[Any] | torch.Tensor = (),
        *,
        bind_inputs: Sequence[int] = (),
    ) -> None:
        inputs = [example_inputs] if isinstance(example_inputs, torch.Tensor) else list(example_inputs)
        if isinstance(source, torch.nn.Module):
            self._name = type(source).__name__
            super().__init__(to_script_module(source, inputs), inputs, list(bind_inputs))
        else:
            self._name = os.path.splitext(os.path.basename(source))[0]
            super().__init__(os.fspath(source), inputs, list(bind_inputs))

    @property
    def name(self) -> str:
        """The file's name without its ending, or that of the module's class."""
        return self._name

    def split(
        self, after: CutLike | None = None, *, cuts: Sequence[CutLike] = (), threads: int = 0
    ) -> list[_core.Stage]:
        """The stages of one cut (head and tail), or of several in order.

        `threads` is how many one pass may use; 0: it runs on the calling thread with torch's own setting.
        Raises InvalidArgument (an unknown layer, with near names), UnsupportedModel (a refused cut, and why).
        """
        wanted = [*([] if after is None else [after]), *cuts]
        return self.stages([as_cut(cut) for cut in wanted], _core.StageOptions(threads=threads))

    def cuts(self) -> list[SequentialCut]:
        """All cuts behind one layer, refused ones with the reason."""
        layers = self.layers.layers
        sizes = boundary_sizes(self.layers)
        refusals = [self.refusal([list(range(index + 1))]) for index in range(len(layers) - 1)]
        return [
            SequentialCut(index, layers[index].name, sizes[index], words_of(refusal))
            for index, refusal in enumerate(refusals)
        ]

    def is_legal(self, cuts: Sequence[Sequence[int]]) -> bool:
        """Whether the model may be cut behind these heads, each a list of layers: for planners."""
        return self.refusal([list(cut) for cut in cuts]) is None

    def __repr__(self) -> str:
        return text_of_layers(self._name, self.layers, self.cuts())

    def _repr_html_(self) -> str:
        return html_of_layers(self._name, self.layers, self.cuts())


def words_of(refusal: _core.Refusal | None) -> str:
    """The reason and its detail; empty without a refusal."""
    return "" if refusal is None else f"{refusal.reason.name.replace('_', ' ')}: {refusal.detail}"


def as_cut(cut: CutLike) -> _core.Cut:
    """What a cut is written as, as a Cut. Raises InvalidArgument."""
    if isinstance(cut, _core.Cut):
        return cut
    is_index = isinstance(cut, int) and cut >= 0
    if not (is_index or isinstance(cut, str) or (isinstance(cut, list) and all(isinstance(one, int) for one in cut))):
        raise InvalidArgument(
            f"a cut: found {cut!r}, expected the name of a layer, its number from 0, or a list of numbers"
        )
    return _core.Cut(cut)


def boundary_sizes(graph: _core.LayerGraph) -> list[int]:
    """For each layer but the last: bytes of the values that are made up to it (or are inputs) and used after it."""
    sizes = [0] * max(0, len(graph.layers) - 1)
    for value in graph.values:
        if not value.consumers:
            continue
        for index in range(max(value.producer, 0), min(max(value.consumers), len(sizes))):
            sizes[index] += value.bytes
    return sizes
