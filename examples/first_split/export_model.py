#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes what the first example needs: MobileNetV2 with its ImageNet weights, a photo, class names.

    export_model.py [--out build/models]

- `mobilenet_v2.pt`: the traced eval model, as `torch.jit.save` writes it;
- `cat.pt`: the photo as a 1x3x224x224 float32 tensor, the attribute `v0` of a module (read it in
  C++ with `torch::jit::load("cat.pt").attr("v0").toTensor()`);
- `cat.bin`: the same tensor as raw little-endian float32;
- `imagenet_classes.txt`: the 1000 class names, one a line.

Weights and photo come from pinned packages (requirements/zoo.txt); their SHA-256 is checked.
Nothing is done where the files are there and this script is no newer.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from common.model_export import ZOO, run, write_whole

NAMES = ("mobilenet_v2.pt", "cat.pt", "cat.bin", "imagenet_classes.txt")


def export(out: pathlib.Path) -> None:
    import models_real
    import packages
    import torch
    from container import save_values

    photo = packages.imagenet_photo("chelsea.png")
    names = packages.imagenet_names()
    with torch.no_grad():
        model = torch.jit.trace(models_real.mobilenet_v2(), photo)
        probability, index = model(photo).softmax(1)[0].max(0)
    (out / "imagenet_classes.txt").write_text("\n".join(names) + "\n")
    (out / "cat.bin").write_bytes(photo.contiguous().numpy().tobytes())
    save_values([photo], str(out / "cat.pt"))
    write_whole(out / "mobilenet_v2.pt", lambda file: torch.jit.save(model, file))
    print(f"MobileNetV2 takes the photo for: {names[int(index)]} ({float(probability):.2f})")


if __name__ == "__main__":
    zoo = (ZOO / "packages.py", ZOO / "container.py", ZOO / "models_real.py")
    sys.exit(run(__doc__, NAMES, (pathlib.Path(__file__), *zoo), export))
