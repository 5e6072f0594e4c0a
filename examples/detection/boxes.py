# SPDX-License-Identifier: Apache-2.0
"""From a photo to what YOLOv3-tiny takes, and from its two raw heads to objects in the photo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image

from common.pictures import MAX_PIXELS, Picture, open_picture

#: Of the square that the network sees, in pixels; any multiple of 32. yolov3-tiny.cfg says 416. At 320 it takes 60 % of
#: the time and finds what fills the photo, as in the samples: at 416 it sees neither their cat nor their person.
SIDE = 320
MAX_FILE_BYTES = 32 * 2**20  #: Of a picture; a larger one is refused, on every way.
MIN_ACCURACY = 0.25  #: Darknet's `-thresh` in its examples of detection.
MAX_OVERLAP = 0.45  #: Darknet's `nms`: of two boxes of a class that overlap by more the better one stays.

_GREY = (127, 127, 127)
#: yolov3-tiny.cfg: width and height in pixels of the square; those of the coarse head, of the fine one.
_ANCHORS = (((81, 82), (135, 169), (344, 319)), ((10, 14), (23, 27), (37, 58)))


@dataclass(frozen=True)
class Detection:
    """One object in a photo."""

    label: str
    accuracy: float  #: Probability of an object, times that of this class: 0..1.
    box: tuple[float, float, float, float]  #: Left, top, right, bottom in pixels of the photo, as people see it.


@dataclass(frozen=True)
class Letterbox:
    """A photo in the network's square: in the middle, its shape kept, grey bars where it does not reach."""

    pixels: torch.Tensor  #: 1x3xSxS, float32, 0..1; S is the side of the square.
    left: int  #: Where the photo begins, in pixels of the square.
    top: int
    across: int  #: The photo's size in the square.
    down: int
    width: int  #: The photo's own size.
    height: int


def read_photo(data: bytes, side: int = SIDE, max_decoded_pixels: int = MAX_PIXELS) -> Letterbox:
    """As open_picture, and raises PictureError as it does."""
    return letterbox(open_picture(data, 2 * side, max_decoded_pixels), side)


def letterbox(picture: Picture, side: int = SIDE) -> Letterbox:
    """As Darknet's letterbox_image, but for the interpolation: large photos are averaged, not sampled."""
    longest = max(picture.width, picture.height)
    across, down = (max(1, length * side // longest) for length in (picture.width, picture.height))
    left, top = (side - across) // 2, (side - down) // 2
    canvas = Image.new("RGB", (side, side), _GREY)
    canvas.paste(picture.image.resize((across, down), Image.Resampling.BILINEAR), (left, top))
    flat = torch.frombuffer(bytearray(canvas.tobytes()), dtype=torch.uint8)
    pixels = flat.reshape(1, side, side, 3).permute(0, 3, 1, 2).float().div(255).contiguous()
    return Letterbox(pixels, left, top, across, down, picture.width, picture.height)


def objects_in(
    photo: Letterbox, heads: Sequence[torch.Tensor], names: Sequence[str], min_accuracy: float = MIN_ACCURACY
) -> list[Detection]:
    """The objects that the heads tell of, best first, boxes within the photo.

    `heads` are the network's two outputs: 1x255xCxC with cells of 32 pixels, and of 16.
    """
    side = photo.pixels.shape[-1]
    rows = torch.cat([_rows(head, anchors, side) for head, anchors in zip(heads, _ANCHORS, strict=True)])
    accuracies = rows[:, 4:5] * rows[:, 5:]
    found, classes = (accuracies > min_accuracy).nonzero(as_tuple=True)
    boxes, scores = _corners(rows[found, :4], photo), accuracies[found, classes]
    kept = best_of_each_class(boxes, scores, classes)
    return [Detection(names[int(classes[i])], float(scores[i]), _box(boxes[i])) for i in kept]


def best_of_each_class(boxes: torch.Tensor, scores: torch.Tensor, classes: torch.Tensor) -> list[int]:
    """Greedy non-maximum suppression: of Nx4 corners, with N scores and classes, which stay, best first."""
    left = scores.argsort(descending=True, stable=True)
    kept = []
    while left.numel():
        best, left = left[0], left[1:]
        kept.append(int(best))
        repeats = (_overlap(boxes[best], boxes[left]) > MAX_OVERLAP) & (classes[left] == classes[best])
        left = left[~repeats]
    return kept


def _rows(head: torch.Tensor, anchors: Sequence[tuple[int, int]], side: int) -> torch.Tensor:
    """1x255xCxC to one row for each anchor of each cell: centre and size in pixels of the square, and probabilities.

    After Redmon and Farhadi, "YOLOv3: An Incremental Improvement", arXiv:1804.02767, section 2.1.
    """
    cells = head.shape[-1]
    values = head.reshape(len(anchors), -1, cells, cells)
    steps = torch.arange(cells, dtype=head.dtype)
    columns = (
        (values[:, 0:1].sigmoid() + steps) * (side / cells),
        (values[:, 1:2].sigmoid() + steps.unsqueeze(1)) * (side / cells),
        values[:, 2:4].exp() * torch.tensor(anchors, dtype=head.dtype).reshape(-1, 2, 1, 1),
        values[:, 4:].sigmoid(),
    )
    return torch.cat(columns, 1).permute(0, 2, 3, 1).flatten(0, 2)


def _corners(boxes: torch.Tensor, photo: Letterbox) -> torch.Tensor:
    """Nx4: centre and size in pixels of the square to corners in pixels of the photo."""
    centre, half = boxes[:, :2], boxes[:, 2:] / 2
    corners = torch.cat((centre - half, centre + half), 1)
    begin = torch.tensor([photo.left, photo.top] * 2)
    scale = torch.tensor([photo.width / photo.across, photo.height / photo.down] * 2)
    return ((corners - begin) * scale).clamp(min=0).minimum(torch.tensor([photo.width, photo.height] * 2))


def _box(corners: torch.Tensor) -> tuple[float, float, float, float]:
    left, top, right, bottom = corners.tolist()
    return left, top, right, bottom


def _overlap(box: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Intersection over union of 4 corners with Nx4."""
    sides = torch.minimum(box[2:], others[:, 2:]) - torch.maximum(box[:2], others[:, :2])
    common = sides.clamp(min=0).prod(1)
    areas = (others[:, 2:] - others[:, :2]).prod(1) + (box[2:] - box[:2]).prod()
    return common / (areas - common).clamp(min=1e-9)
