# SPDX-License-Identifier: Apache-2.0
"""The deployed function on this machine, from the image to answers, with one command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torch

EXAMPLE = Path(__file__).resolve().parents[1]


def test_the_image_answers_under_the_emulator(image: Path, model: Path, photo: torch.Tensor, tmp_path: Path) -> None:
    (tmp_path / "photo.bin").write_bytes(photo.numpy().tobytes())
    environment = {**os.environ, "PYTHONPATH": str(EXAMPLE.parent)}
    program: list[str | Path] = [sys.executable, "-W", "ignore", EXAMPLE / "run_here.py", "--check"]
    program += ["--image", image, "--model", model, "--input", f"{tmp_path}/photo.bin:1x3x16x16"]
    ends = subprocess.run(program, capture_output=True, text=True, timeout=300, env=environment)
    assert ends.returncode == 0, ends.stdout + ends.stderr
    assert ends.stdout.count("the model's bits") == 6
    assert "to start" in ends.stdout and "MB by S3" in ends.stdout
    assert "left in the bucket: 0 objects; a wrong token and none: refused" in ends.stdout
