# SPDX-License-Identifier: Apache-2.0
"""Pictures from strangers: turned, shrunk, refused."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from common.package_files import package_file
from common.pictures import MAX_PIXELS, PictureError, open_picture
from common.tests.black_png import black_png

EXAMPLES = Path(__file__).resolve().parents[2]


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


@pytest.fixture(scope="module")
def cat() -> Image.Image:
    return Image.open(package_file("skimage/data/chelsea.png")).convert("RGB")


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "TGA", "AVIF"])
def test_formats(cat: Image.Image, form: str) -> None:
    picture = open_picture(encoded(cat, form))
    assert (picture.width, picture.height) == cat.size == picture.image.size
    assert picture.image.mode == "RGB"
    assert mean_distance(picture.image, cat) < 8


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16"])
def test_modes(cat: Image.Image, mode: str) -> None:
    grey = cat.convert("L")
    image = grey.convert("I").point(lambda value: value * 256).convert("I;16") if mode == "I;16" else cat.convert(mode)
    picture = open_picture(encoded(image, "TIFF" if mode in ("CMYK", "I;16") else "PNG"), long_side=100)
    assert picture.image.mode == "RGB"
    small = picture.image.resize((45, 30), Image.Resampling.BOX)
    assert mean_distance(small.convert("L"), grey.resize((45, 30), Image.Resampling.BOX)) < 8


@pytest.mark.parametrize("orientation", range(1, 9))
def test_is_turned_as_exif_says(orientation: int) -> None:
    upright = Image.new("RGB", (64, 32), "blue")
    upright.paste("red", (0, 0, 16, 16))  # Top left.
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }  # fmt: skip
    stored = upright.transpose(turns[orientation]) if orientation in turns else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = open_picture(encoded(stored, "PNG", exif=exif))
    assert (picture.width, picture.height) == (64, 32) == picture.image.size
    assert picture.image.getpixel((4, 4)) == (255, 0, 0)
    assert picture.image.getpixel((60, 28)) == (0, 0, 255)


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_large_one_comes_smaller_but_keeps_its_size_in_mind(cat: Image.Image, form: str) -> None:
    large = cat.resize((2706, 1800))
    picture = open_picture(encoded(large, form), long_side=400)
    assert (picture.width, picture.height) == (2706, 1800)
    assert 400 <= max(picture.image.size) < 800
    assert mean_distance(picture.image.resize(cat.size), cat) < 8


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty file"),
        (b"no picture at all", "17 bytes that are no picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n", "no picture"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 40, "no picture"),
    ],
)
def test_refuses_what_is_no_picture(data: bytes, words: str) -> None:
    with pytest.raises(PictureError, match=words):
        open_picture(data)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "TIFF"])
def test_a_cut_off_file_is_an_error_not_a_crash(cat: Image.Image, form: str) -> None:
    data = encoded(cat.resize((90, 60)), form)
    for length in range(1, len(data) - 16, max(1, len(data) // 60)):
        try:
            picture = open_picture(data[:length])
        except PictureError as error:
            assert "picture" in str(error)
        else:  # All that makes up the first frame was there.
            assert picture.image.size == (90, 60)


def test_refuses_a_decompression_bomb_before_it_is_decoded() -> None:
    side = int(MAX_PIXELS**0.5) + 1
    with pytest.raises(PictureError, match=rf"{side}x{side} pixels \(PNG\), expected at most 64 million"):
        open_picture(black_png(side, side))
    huge = black_png(1, 1).replace((1).to_bytes(4) * 2, (2**31 - 1).to_bytes(4) * 2)
    with pytest.raises(PictureError):
        open_picture(huge)


@pytest.mark.parametrize("progressive", [False, True])
def test_bounds_what_is_decoded(cat: Image.Image, progressive: bool) -> None:
    large = cat.resize((2706, 1800))
    bounds = {"long_side": 400, "max_decoded_pixels": 1_000_000}
    with pytest.raises(PictureError, match=r"2706x1800 pixels \(PNG\), expected at most 1 million"):
        open_picture(encoded(large, "PNG"), **bounds)
    data = encoded(large, "JPEG", progressive=progressive)
    if progressive:
        with pytest.raises(PictureError, match=r"2706x1800 pixels \(JPEG\), expected at most 1 million"):
            open_picture(data, **bounds)
    else:
        assert open_picture(data, **bounds).width == 2706


@pytest.mark.parametrize(("form", "limit_mb"), [("JPEG", 60), ("PNG", 260)])
def test_memory_of_a_50_megapixel_photo_is_bounded(cat: Image.Image, tmp_path: Path, form: str, limit_mb: int) -> None:
    path = tmp_path / "large"
    path.write_bytes(encoded(cat.resize((8660, 5774), Image.Resampling.NEAREST), form))
    program = (
        "import resource, sys\n"
        "from common.pictures import open_picture\n"
        "data = open(sys.argv[1], 'rb').read()\n"
        "open_picture(open(sys.argv[2], 'rb').read(), 832)\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "picture = open_picture(data, 832)\n"
        "assert (picture.width, picture.height) == (8660, 5774)\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)\n"
    )
    small = package_file("skimage/data/chelsea.png")
    command = [sys.executable, "-c", program, str(path), str(small)]
    found = subprocess.run(command, check=True, capture_output=True, text=True, cwd=EXAMPLES).stdout
    assert float(found) < limit_mb, f"{float(found):.0f} MB"


def mean_distance(a: Image.Image, b: Image.Image) -> float:
    """Of two pictures' bytes."""
    return sum(abs(x - y) for x, y in zip(a.tobytes(), b.tobytes(), strict=True)) / len(a.tobytes())
