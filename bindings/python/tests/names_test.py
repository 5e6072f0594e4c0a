# SPDX-License-Identifier: Apache-2.0
"""Cuts and codecs as people read them."""

from __future__ import annotations

import pytest

import splitnet
from splitnet.names import cut_name, short_codec
from splitnet.plan_table import cut_of


def test_cuts(part: splitnet.Partitioner) -> None:
    graph = part.layers
    layers = range(len(graph.layers))
    assert cut_name(graph, layers) == "device only"
    assert cut_name(graph, []) == "worker only"
    assert cut_name(graph, layers[:1]) == "after first"
    assert cut_name(graph, None) == "any cut"


@pytest.mark.parametrize(
    ("heads", "name"),
    [
        ([], "device only"),
        ([[]], "worker only"),
        ([[0]], "after first"),
        ([[], [0, 1, 2]], "after the input → second"),
        ([[0], [0, 1, 2]], "after first → second"),
    ],
)
def test_cuts_of_assignments(part: splitnet.Partitioner, heads: list[list[int]], name: str) -> None:
    assignment = splitnet.Assignment(tiers=list(range(len(heads) + 1)), heads=heads, codecs=["raw"] * len(heads))
    assert cut_of(part.layers, assignment) == name


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("raw", "raw"),
        ("transform:tables=b41922aa6821;coarseness=-24", "transform:coarseness=-24"),
        ("u8:mean=0.485,0.456,0.406;std=0.229,0.224,0.225", "u8"),
        ("int8:per=channel;lossless=zstd", "int8:per=channel;lossless=zstd"),
    ],
)
def test_codecs(name: str, short: str) -> None:
    assert short_codec(name) == short
