# SPDX-License-Identifier: Apache-2.0
"""Faces are found and cut out as the package `fer` does, in photos of any kind and size, and nowhere else."""

from __future__ import annotations

import io
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from PIL import Image, ImageOps

from common.package_files import ROOT, package_file
from common.pictures import PictureError
from common.tests.black_png import black_png
from emotion.emotions import strongest
from emotion.faces import LONGEST_SIDE, NoFaceError, find_faces, open_photo
from emotion.tests.fer_faces import fer_faces

UPRIGHT_BOX = (177, 66, 95, 95)


def as_file(picture: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def beside(*pictures: Image.Image) -> Image.Image:
    wide = Image.new("RGB", (sum(one.width for one in pictures), max(one.height for one in pictures)))
    left = 0
    for one in pictures:
        wide.paste(one, (left, 0))
        left += one.width
    return wide


def assert_near(box: tuple[int, ...], expected: tuple[int, ...]) -> None:
    assert all(abs(found - wanted) <= 12 for found, wanted in zip(box, expected, strict=True)), (box, expected)


@pytest.fixture(scope="module")
def group(astronaut: Image.Image) -> Image.Image:
    """Three faces, of 94, 154 and 117 pixels."""
    head = astronaut.crop((100, 0, 350, 200))
    return beside(head, head.resize((400, 320)), ImageOps.mirror(head).resize((300, 240)))


# ---- As fer does it.


def test_equals_fer(astronaut: Image.Image, group: Image.Image) -> None:
    for picture, count in ((astronaut, 1), (group, 3)):
        boxes, pixels = fer_faces(picture)
        ours = find_faces(picture)
        assert len(ours) == len(boxes) == count
        for face in ours:
            index = boxes.index(face.box)
            assert face.pixels.shape == (1, 1, 64, 64)
            assert face.pixels.dtype == torch.float32
            torch.testing.assert_close(face.pixels[0], pixels[index], rtol=0, atol=0)


def test_a_face_at_the_edge_is_cut_out_with_a_border_as_fer_does(astronaut: Image.Image) -> None:
    edge = astronaut.crop((179, 60, 275, 165))
    boxes, pixels = fer_faces(edge)
    (face,) = find_faces(edge)
    assert face.box == boxes[0]
    assert face.box[0] < 10, "the border is not reached"
    torch.testing.assert_close(face.pixels, pixels, rtol=0, atol=0)


def test_several_faces_are_all_found_the_largest_first(group: Image.Image, models: Path) -> None:
    faces = find_faces(group)
    widths = [face.box[2] for face in faces]
    assert len(widths) == 3
    assert widths == sorted(widths, reverse=True)
    network = torch.jit.load(models / "emotion.pt")  # type: ignore[no-untyped-call]
    assert [strongest(network(face.pixels)[0].tolist()) for face in faces] == ["happy"] * 3


# ---- Photos of any kind.


@pytest.mark.parametrize(
    ("kind", "mode"),
    [("JPEG", "RGB"), ("JPEG", "L"), ("JPEG", "CMYK"), ("PNG", "RGB"), ("PNG", "RGBA"), ("PNG", "P"), ("PNG", "LA")]
    + [("WEBP", "RGB"), ("GIF", "P"), ("BMP", "RGB"), ("TIFF", "RGB"), ("AVIF", "RGB")],
)
def test_a_face_is_found_in_every_kind(astronaut: Image.Image, kind: str, mode: str) -> None:
    (face, *_) = find_faces(open_photo(as_file(astronaut.convert(mode), kind)))
    assert_near(face.box, UPRIGHT_BOX)


def test_sixteen_bits_a_pixel(astronaut: Image.Image) -> None:
    deep = Image.fromarray(numpy.asarray(astronaut.convert("L")).astype("uint16") * 257)
    assert_near(find_faces(open_photo(as_file(deep, "PNG")))[0].box, UPRIGHT_BOX)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_respected(astronaut: Image.Image, orientation: int) -> None:
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = astronaut.transpose(undo[orientation]) if orientation in undo else astronaut
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert_near(find_faces(open_photo(as_file(stored, "JPEG", exif=exif)))[0].box, UPRIGHT_BOX)


def test_what_a_file_is_called_does_not_count(astronaut: Image.Image, tmp_path: Path) -> None:
    wrong = tmp_path / "photo.png"
    wrong.write_bytes(as_file(astronaut, "JPEG"))
    assert len(find_faces(open_photo(wrong.read_bytes()))) == 1


# ---- Large ones.

MEMORY_PROGRAM = """
import resource, sys
from emotion.faces import find_faces, open_photo
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
picture = open_photo(open(sys.argv[1], "rb").read())
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
face = find_faces(picture)[0]
print((after - before) >> 10, *picture.size, *face.box)
"""


@pytest.mark.parametrize(("kind", "limit_mebibytes"), [("JPEG", 60), ("PNG", 350)])
def test_fifty_megapixels(astronaut: Image.Image, tmp_path: Path, kind: str, limit_mebibytes: int) -> None:
    path = tmp_path / "large"
    large = astronaut.resize((7100, 7100), Image.Resampling.NEAREST)
    path.write_bytes(as_file(large, kind, **({"compress_level": 1} if kind == "PNG" else {"quality": 50})))
    command = [sys.executable, "-c", MEMORY_PROGRAM, str(path)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=ROOT / "examples", env={"PYTHONPATH": "."}
    )
    grown_mebibytes, width, height, *box = map(int, done.stdout.split())
    assert max(width, height) <= LONGEST_SIDE
    assert_near(tuple(box), tuple(round(side * width / 512) for side in UPRIGHT_BOX))
    assert grown_mebibytes < limit_mebibytes


@pytest.mark.parametrize(("width", "height"), [(8001, 8000), (12_000, 12_000), (60_000, 60_000)])
def test_a_bomb_is_refused_before_it_is_decoded(width: int, height: int) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(PictureError, match="too large|at most 64 million"):
        open_photo(black_png(width, height, rows=50))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 10_000


# ---- What is no use.


def test_an_empty_file() -> None:
    with pytest.raises(PictureError, match="empty file"):
        open_photo(b"")


@pytest.mark.parametrize("content", [b"%PDF-1.7 hello", b"not a picture at all\n" * 100, bytes(1000)])
def test_not_a_picture(content: bytes) -> None:
    with pytest.raises(PictureError, match="no picture"):
        open_photo(content)


def test_a_picture_that_ends_too_early(photo: bytes) -> None:
    with pytest.raises(PictureError, match="damaged"):
        open_photo(photo[: len(photo) // 2])


@pytest.mark.parametrize("name", ["coffee.png", "rocket.jpg"])
def test_no_face(name: str) -> None:
    picture = open_photo(package_file(f"skimage/data/{name}").read_bytes())
    with pytest.raises(NoFaceError, match="no face was found"):
        find_faces(picture)
