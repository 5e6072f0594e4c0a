# SPDX-License-Identifier: Apache-2.0
"""What each codec does to the detector's heads, measured once on the sample photos and kept beside the model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from PIL import Image

import splitnet
from common.pictures import Picture, open_picture
from detection import boxes, model_files

#: Where the boundary is small: behind the fourth and the third halving of the picture.
CUTS = ("max_pool2d#4", "max_pool2d#3")
#: Share of the photo's width and height, and where the crop lies in it.
_CROPS = ((1.0, 0.0, 0.0), (0.8, 1.0, 0.0), (0.65, 0.0, 1.0), (0.5, 1.0, 1.0))


def calibrated(part: splitnet.Partitioner, folder: Path = model_files.FOLDER) -> splitnet.Calibration:
    """From its file, or measured: a quarter of a minute."""
    path = folder / f"{model_files.MODEL_NAME}_calibration.json"
    sources = [Path(__file__), Path(boxes.__file__), model_files.model_file(folder)]
    if path.exists() and path.stat().st_mtime >= max(source.stat().st_mtime for source in sources):
        return splitnet.Calibration.from_file(str(path))
    photos = [open_picture(file.read_bytes()) for file in model_files.sample_photos(folder)]
    measured = splitnet.calibrate(
        part,
        [[crop] for photo in photos for crop in _crops(photo)],
        splitnet.CalibrationOptions(
            output=splitnet.OutputKind.numbers,
            output_slots=[0, 1],
            cuts=list(CUTS),
            codecs=["int8:per=channel;lossless=zstd", "int4:per=channel;lossless=zstd"],
            coarsenesses=[-16, -8],
            qualities=[95, 85],
            refined_losses=[],
            pixels="mean=0,0,0;std=1,1,1",
            groups=[number for number in range(len(photos)) for _ in _CROPS],
        ),
    )
    measured.save(str(path))
    return measured


def _crops(photo: Picture) -> Iterator[torch.Tensor]:
    """1x3xSIDExSIDE each: the photo, and parts of it."""
    for share, right, down in _CROPS:
        width, height = round(photo.width * share), round(photo.height * share)
        left, top = round((photo.width - width) * right), round((photo.height - height) * down)
        crop: Image.Image = photo.image.crop((left, top, left + width, top + height))
        yield boxes.letterbox(Picture(crop, width, height)).pixels
