# SPDX-License-Identifier: Apache-2.0
"""The rebuilt networks against face-api itself, which runs in a headless Chromium; weights that are not whole."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from playwright import sync_api

from emotion.tests.page import CHROMIUM, FLAGS
from video_faces import faces
from video_faces.faces import Frame
from video_faces.networks import read_weights
from video_faces.packages import FACE_API, file_of
from video_faces.placing import Sessions

_LOAD = """async ([name, manifest, base64]) => {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  await faceapi.tf.setBackend("cpu");
  const weights = faceapi.tf.io.decodeWeights(bytes.buffer, JSON.parse(manifest)[0].weights);
  await faceapi.nets[name].loadFromWeightMap(weights);
}"""
_RUN = """async ([name, base64, side]) => {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const input = faceapi.tf.tensor3d(new Float32Array(bytes.buffer), [side, side, 3]).mul(255);
  const net = faceapi.nets[name];
  const output = name === "tinyFaceDetector" ? await net.forward(input, side) : await net.forward(input);
  return [output.shape, Array.from(await output.data())];
}"""


@pytest.fixture(scope="module")
def face_api() -> Iterator[Any]:
    """A page with the package's own program and weights."""
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page()
        page.set_default_timeout(120_000)
        page.goto("about:blank")
        page.add_script_tag(content=file_of(FACE_API, "dist/face-api.js").read_text())
        for net, name in (("tinyFaceDetector", "tiny_face_detector"), ("faceRecognitionNet", "face_recognition")):
            manifest = file_of(FACE_API, f"model/{name}_model-weights_manifest.json").read_text()
            page.evaluate(_LOAD, [net, manifest, _base64(file_of(FACE_API, f"model/{name}_model.bin").read_bytes())])
        yield page
        browser.close()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def theirs(page: Any, net: str, pixels: torch.Tensor) -> torch.Tensor:
    """Of 1x3xSxS in 0..1; pictures there are height x width x colour."""
    upright = pixels[0].permute(1, 2, 0).contiguous()
    shape, values = page.evaluate(_RUN, [net, _base64(upright.numpy().tobytes()), pixels.shape[-1]])
    return torch.tensor(values).reshape(shape)


def test_the_detector_is_face_apis(face_api: Any, here: Sessions, frames: list[Frame]) -> None:
    pixels = faces.detector_input(frames[0], 160)
    expected = theirs(face_api, "tinyFaceDetector", pixels).permute(0, 3, 1, 2)
    torch.testing.assert_close(here.detector(pixels), expected, rtol=0, atol=2e-4)
    assert float(expected.abs().max()) > 1


def test_the_descriptor_is_face_apis(face_api: Any, here: Sessions, frames: list[Frame]) -> None:
    head = here.detector(faces.detector_input(frames[0]))
    box = faces.boxes_in(head, 176, 144)[0]
    pixels = faces.face_input(frames[0], box)
    expected = theirs(face_api, "faceRecognitionNet", pixels).reshape(1, -1)
    torch.testing.assert_close(here.descriptor(pixels), expected, rtol=0, atol=2e-5)
    assert float(expected.norm()) > 1


@pytest.mark.parametrize("change", [-1, 1])
def test_weights_of_another_size_are_refused(tmp_path: Path, change: int) -> None:
    manifest = file_of(FACE_API, "model/tiny_face_detector_model-weights_manifest.json")
    values = file_of(FACE_API, "model/tiny_face_detector_model.bin").read_bytes()
    other = tmp_path / "other.bin"
    other.write_bytes(values[:change] if change < 0 else values + b"\0")
    with pytest.raises(ValueError, match=r"found \d+ bytes, expected"):
        read_weights(manifest, other)
