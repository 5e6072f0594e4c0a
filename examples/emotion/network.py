# SPDX-License-Identifier: Apache-2.0
"""The network as people speak of it: seven blocks, each a few layers that splitnet can cut between."""

from __future__ import annotations

import re
from dataclasses import dataclass

import splitnet

_BLOCK = re.compile(r"conv\d+|blocks\.\d+|last")


@dataclass(frozen=True)
class Block:
    """A part of the network with a name of its own."""

    name: str  #: As in the module: "blocks.2".
    first: int  #: Number of its first layer.
    end: int  #: One past the number of its last layer: so many layers run on the device when the cut is behind it.
    output_bytes: int  #: What crosses a cut behind it, uncompressed.


def blocks_of(part: splitnet.Partitioner) -> list[Block]:
    """In order. A layer without a module of its own (relu, mean, softmax) belongs to the block before it."""
    layers = part.layers.layers
    starts = [(0, "")]
    for index, layer in enumerate(layers):
        found = _BLOCK.match(layer.name)
        if found and found[0] != starts[-1][1]:
            starts.append((index, found[0]))
    starts = starts[1:]
    ends = [first for first, _ in starts[1:]] + [len(layers)]
    boundaries = [cut.boundary_bytes for cut in part.cuts()] + [0]
    return [Block(name, first, end, boundaries[end - 1]) for (first, name), end in zip(starts, ends, strict=True)]
