# SPDX-License-Identifier: Apache-2.0
"""The two networks of face-api (MIT), rebuilt for its weights: one finds faces, one describes a face by 128 numbers.

Layers, paddings and means are those of its sources (`src/tinyFaceDetector`, `src/tinyYolov2`, `src/faceRecognitionNet`
of the package), which came to the numbers from TensorFlow and dlib. Run by the Python of .venv and by tests.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from video_faces.packages import FACE_API, file_of

DESCRIPTOR_NUMBERS = 128

_DETECTOR_MEAN = (117.001, 114.697, 97.404)  # Red, green, blue, of 255.
_DESCRIPTOR_MEAN = (122.782, 117.001, 104.298)
_SEPARABLE = ("conv1", "conv2", "conv3", "conv4", "conv5")
#: Name, and whether it halves width and height.
_BLOCKS = (
    *(("conv32_1", False), ("conv32_2", False), ("conv32_3", False)),
    *(("conv64_down", True), ("conv64_1", False), ("conv64_2", False), ("conv64_3", False)),
    *(("conv128_down", True), ("conv128_1", False), ("conv128_2", False)),
    *(("conv256_down", True), ("conv256_1", False), ("conv256_2", False), ("conv256_down_out", True)),
)

Weights = dict[str, torch.Tensor]


def read_weights(manifest: Path, values: Path) -> Weights:
    """Tensors by name, as TensorFlow.js keeps them: filters are height x width x in x out; uint8 is value * scale + min.

    Raises ValueError: the file of values has another size than the manifest says.
    """
    data, begin, found = values.read_bytes(), 0, {}
    for entry in json.loads(manifest.read_text())[0]["weights"]:
        count, packed = math.prod(entry["shape"]), entry.get("quantization")
        size = count if packed else 4 * count
        raw = bytearray(data[begin : begin + size])
        if len(raw) < size:
            raise ValueError(
                f"{values}: found {len(data)} bytes, expected more: {entry['name']} ends at {begin + size}"
            )
        flat = torch.frombuffer(raw, dtype=torch.uint8 if packed else torch.float32)
        if packed:
            flat = flat.float() * packed["scale"] + packed["min"]
        found[entry["name"]] = flat.reshape(entry["shape"])
        begin += size
    if begin != len(data):
        raise ValueError(f"{values}: found {len(data)} bytes, expected {begin}")
    return found


def face_detector() -> FaceDetector:
    """With its weights. Raises what packages.file_of raises, as face_descriptor does."""
    return FaceDetector(_weights_of("tiny_face_detector"))


def face_descriptor() -> FaceDescriptor:
    """With its weights."""
    return FaceDescriptor(_weights_of("face_recognition"))


class FaceDetector(nn.Module):
    """Tiny YOLOv2 with separable convolutions. 1x3xSxS in 0..1 (S a multiple of 32) to 1x25x(S/32)x(S/32)."""

    mean: torch.Tensor

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        self.register_buffer("mean", _mean(_DETECTOR_MEAN))
        self.first = _convolution(weights["conv0/filters"], weights["conv0/bias"])
        self.blocks = nn.ModuleList(
            nn.Sequential(
                _depthwise(weights[f"{name}/depthwise_filter"]),
                _convolution(weights[f"{name}/pointwise_filter"], weights[f"{name}/bias"]),
            )
            for name in _SEPARABLE
        )
        self.last = _convolution(weights["conv8/filters"], weights["conv8/bias"])

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        x = functional.leaky_relu(self.first(pixels - self.mean), 0.1)
        for block in self.blocks:
            x = functional.max_pool2d(x, 2, 2, ceil_mode=True)
            x = functional.leaky_relu(block(x), 0.1)
        x = functional.max_pool2d(functional.pad(x, (0, 1, 0, 1), value=-math.inf), 2, 1)
        found: torch.Tensor = self.last(x)
        return found


class FaceDescriptor(nn.Module):
    """dlib's ResNet. 1x3x150x150 in 0..1 to 1x128; descriptors of one person are less than 0.6 apart."""

    mean: torch.Tensor
    numbers: torch.Tensor

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        self.register_buffer("mean", _mean(_DESCRIPTOR_MEAN))
        self.first = _scaled(weights, "conv32_down", stride=2, padding=0)
        self.blocks = nn.ModuleList(_Residual(weights, name, halves) for name, halves in _BLOCKS)
        self.register_buffer("numbers", weights["fc"])

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        x = functional.relu(self.first(pixels - self.mean))
        x = functional.max_pool2d(x, 3, 2)
        for block in self.blocks:
            x = block(x)
        return torch.matmul(x.mean([2, 3]), self.numbers)


class _Residual(nn.Module):
    def __init__(self, weights: Weights, name: str, halves: bool) -> None:
        super().__init__()
        self.halves = halves
        self.first = _scaled(weights, f"{name}/conv1", stride=2 if halves else 1, padding=0 if halves else 1)
        self.second = _scaled(weights, f"{name}/conv2", stride=1, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.second(functional.relu(self.first(x)))
        if self.halves:
            x = functional.avg_pool2d(x, 2, 2)
            # What is smaller or has fewer channels is filled up with zeros, below, to the right and behind.
            channels, size = out.shape[1] - x.shape[1], x.shape[-1] - out.shape[-1]
            out = functional.pad(out, (0, size, 0, size))
            x = functional.pad(x, (0, 0, 0, 0, 0, channels))
        return functional.relu(out + x)


def _weights_of(name: str) -> Weights:
    manifest = file_of(FACE_API, f"model/{name}_model-weights_manifest.json")
    return read_weights(manifest, file_of(FACE_API, f"model/{name}_model.bin"))


def _mean(of_255: tuple[float, ...]) -> torch.Tensor:
    return torch.tensor(of_255).reshape(1, 3, 1, 1) / 255


def _convolution(filters: torch.Tensor, bias: torch.Tensor, stride: int = 1, padding: int = 0) -> nn.Conv2d:
    height, _, inputs, outputs = filters.shape
    layer = nn.Conv2d(inputs, outputs, height, stride, padding)
    layer.weight.data, layer.bias.data = filters.permute(3, 2, 0, 1).contiguous(), bias  # type: ignore[union-attr]
    return layer


def _depthwise(filters: torch.Tensor) -> nn.Conv2d:
    channels = filters.shape[2]
    layer = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
    layer.weight.data = filters.permute(2, 3, 0, 1).contiguous()
    return layer


def _scaled(weights: Weights, name: str, stride: int, padding: int) -> nn.Conv2d:
    """A convolution and the scale of each channel behind it, in one."""
    scale = weights[f"{name}/scale/weights"]
    bias = weights[f"{name}/conv/bias"] * scale + weights[f"{name}/scale/biases"]
    return _convolution(weights[f"{name}/conv/filters"] * scale, bias, stride, padding)
