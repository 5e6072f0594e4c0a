# SPDX-License-Identifier: Apache-2.0
"""The picture of the network: a cell for each layer, coloured by where it runs, and one line where the cut is."""

from __future__ import annotations

import xml.etree.ElementTree

import pytest

from emotion.network import Block
from emotion.network_picture import DEVICE_COLOUR, WORKER_COLOUR, picture_of

BLOCKS = [Block("first", 0, 2, 4000), Block("a<b", 2, 5, 2000), Block("last", 5, 8, 0)]


@pytest.mark.parametrize(("head_layers", "is_cut"), [(1, True), (2, True), (4, True), (5, True), (7, True), (8, False)])
def test_the_cut_is_where_it_is(head_layers: int, is_cut: bool) -> None:
    text = picture_of(BLOCKS, head_layers, "sends 1.0 KB", "#000000")
    xml.etree.ElementTree.fromstring(text)
    assert text.count(DEVICE_COLOUR) == 1 + head_layers
    assert text.count(WORKER_COLOUR) == 1 + 8 - head_layers
    assert text.count("sends 1.0 KB") == text.count("<path") == is_cut
    assert ("4.0 KB" in text) == (head_layers > 2), "the bytes behind a block that is not cut"
