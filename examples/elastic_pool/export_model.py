#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the classifiers that no other example has: EfficientNet-Lite0, -Lite1 and -Lite2 with their ImageNet weights.

    .venv/bin/python examples/elastic_pool/export_model.py [--out build/models]

- `efficientnet_lite0.pt`, `efficientnet_lite1.pt`, `efficientnet_lite2.pt`: traced eval models, 1x3xSxS to 1x1000 logits,
  S = 224, 240, 260.

The other classifiers of classifiers.py, and the class names, are written by first_split/export_model.py and
emotion/export_model.py. Weights come from packages pinned in requirements/zoo.txt; the SHA-256 of each file is checked.
Nothing is done where the files are there and what makes them is no newer.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from common.model_export import ZOO, run, write_whole

SIDES = {0: 224, 1: 240, 2: 260}
NAMES = [f"efficientnet_lite{number}.pt" for number in SIDES]


def export(out: pathlib.Path) -> None:
    import models_real
    import packages
    import torch

    from elastic_pool.efficientnet_lite import efficientnet_lite

    for number, side in SIDES.items():
        photo = packages.imagenet_photo(side=side, scale_to=packages.LITE_SCALE)
        with torch.no_grad():
            network = efficientnet_lite(number) if number else models_real.efficientnet_lite0()
            model = torch.jit.trace(network, photo)
            models_real.sees_cat(model(photo), 0.3, 0.8)
        write_whole(out / f"efficientnet_lite{number}.pt", lambda file, model=model: torch.jit.save(model, file))


if __name__ == "__main__":
    here = pathlib.Path(__file__)
    zoo = (ZOO / "packages.py", ZOO / "models_real.py")
    sys.exit(run(__doc__, NAMES, (here, here.with_name("efficientnet_lite.py"), *zoo), export))
