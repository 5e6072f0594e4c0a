# SPDX-License-Identifier: Apache-2.0
"""What networks see of pictures: the right part, at the right size, and on workers the same bits."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import pytest
import torch
from PIL import Image

import splitnet
from common.package_files import package_file
from elastic_pool.classifiers import Classifier
from elastic_pool.preprocessing import PerChannel, PhotoPreprocessing

WIDE = Image.open(package_file("skimage/data/chelsea.png")).convert("RGB")  # 451 x 300
PLAIN = PhotoPreprocessing(100, 100, 0.0, 1.0)


def file_of(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def seen(how: PhotoPreprocessing, image: Image.Image) -> torch.Tensor:
    """Bytes, channels x height x width."""
    pixels = how.pixels(file_of(image))
    assert tuple(pixels.shape) == how.shape and pixels.dtype == torch.float32 and pixels.is_contiguous()
    return (pixels[0] * 255).round().to(torch.uint8)


def expected(image: Image.Image, width: int, height: int) -> torch.Tensor:
    """The whole image at that size, which Pillow makes."""
    scaled = image.resize((width, height), Image.Resampling.BILINEAR)
    values = torch.frombuffer(bytearray(scaled.tobytes()), dtype=torch.uint8)
    return values.reshape(height, width, -1).permute(2, 0, 1)


def expect_inside(found: torch.Tensor, image: Image.Image) -> None:
    """At the edges the photo's other pixels have a share, too."""
    _, height, width = found.shape
    assert torch.equal(found[:, 2:-2, 2:-2], expected(image, width, height)[:, 2:-2, 2:-2])


def test_the_middle_is_seen() -> None:
    picture = WIDE.resize((450, 300))
    expect_inside(seen(PLAIN, picture), picture.crop((75, 0, 375, 300)))


def test_with_resize_less_of_it_is_seen() -> None:
    picture = WIDE.resize((450, 300))
    how = dataclasses.replace(PLAIN, resize=150)
    expect_inside(seen(how, picture), picture.crop((125, 50, 325, 250)))


@pytest.mark.parametrize(
    ("height", "width", "box"), [(50, 75, (0, 0, 450, 300)), (50, 90, (0, 25, 450, 275)), (100, 50, (150, 0, 300, 300))]
)
def test_inputs_that_are_no_squares(height: int, width: int, box: tuple[int, int, int, int]) -> None:
    picture = WIDE.resize((450, 300))
    expect_inside(seen(PhotoPreprocessing(height, width, 0.0, 1.0), picture), picture.crop(box))


def test_stretched_all_of_it_is_seen() -> None:
    how = dataclasses.replace(PLAIN, height=50, fit="stretch")
    assert torch.equal(seen(how, WIDE), expected(WIDE, 100, 50))


def test_grey() -> None:
    how = dataclasses.replace(PLAIN, channels=1, fit="stretch")
    assert torch.equal(seen(how, WIDE), expected(WIDE.convert("L"), 100, 100))


@pytest.mark.parametrize("how", [dataclasses.replace(PLAIN, resize=150), dataclasses.replace(PLAIN, fit="stretch")])
@pytest.mark.parametrize("size", [(1, 1), (3000, 7), (7, 3000)])
def test_any_proportions(how: PhotoPreprocessing, size: tuple[int, int]) -> None:
    assert torch.equal(seen(how, Image.new("RGB", size, (10, 20, 30)))[:, 50, 50], torch.tensor([10, 20, 30]))


class Same(torch.nn.Module):
    """Answers what it is asked."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + 0


@pytest.mark.parametrize(
    ("mean", "deviation", "channels"),
    [
        (0.0, 1.0, 3),
        (0.0, 1 / 255, 3),
        (0.5, 0.5, 1),
        ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762), 3),
        ((0.4, 0.4, 0.4), 0.25, 3),
    ],
)
def test_workers_see_the_same_bits(mean: PerChannel, deviation: PerChannel, channels: int, tmp_path: Path) -> None:
    file = tmp_path / "same.pt"
    torch.jit.save(torch.jit.script(Same()), file)
    how = PhotoPreprocessing(64, 48, mean, deviation, channels=3 if channels == 3 else 1)
    one = Classifier("same", how, ("a", "b"), file=file)
    pixels = one.pixels(file_of(WIDE))
    with (
        splitnet.Worker({"any": splitnet.Partitioner(file)}, threads=1) as worker,
        one.open_session(worker.address, deadline_s=60) as session,
    ):
        answer = session.run(pixels)
    assert torch.equal(answer.output, pixels)
    assert answer.times.hops[0].request_bytes < pixels.nbytes / 2
