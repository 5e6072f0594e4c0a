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

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from common.model_export import ZOO, run, write_whole

NAMES = ("emotion_photo.jpg", "emotion_faces.npy", "emotion.pt")


def export(out: pathlib.Path) -> None:
    import models_real  # type: ignore[import-not-found]
    import numpy
    import packages  # type: ignore[import-not-found]
    import torch
    from PIL import Image

    faces = numpy.load(packages.verified("skimage/data/lfw_subset.npy"))[:100]  # The other 100 are no faces.
    grey = numpy.rint(faces * 255).astype(numpy.uint8)
    photo = Image.open(packages.verified("skimage/data/astronaut.png"))
    with torch.no_grad():
        model = torch.jit.trace(models_real.emotion(), packages.face(64))  # type: ignore[no-untyped-call]
    write_whole(out / "emotion_photo.jpg", lambda file: photo.save(file, "JPEG", quality=90))
    write_whole(out / "emotion_faces.npy", lambda file: numpy.save(file, grey))
    write_whole(out / "emotion.pt", lambda file: torch.jit.save(model, file))


if __name__ == "__main__":
    sys.exit(run(__doc__, NAMES, (pathlib.Path(__file__), *ZOO.glob("[mp]*.py")), export))
