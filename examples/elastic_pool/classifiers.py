# SPDX-License-Identifier: Apache-2.0
"""Classifiers by name, with trained weights: how a picture's file becomes a tensor, and the network's output a label.

Their files are written by the scripts that EXPORTS names. The whole network runs on workers; the pixels go to them as the
bytes they are, which changes no bit of what the network sees.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from PIL import Image

import splitnet
from common.package_files import ROOT
from common.pictures import MAX_PIXELS, open_picture
from emotion.emotions import LABELS as EMOTIONS
from emotion.faces import FACE_SIDE, LONGEST_SIDE, find_faces

MODELS = ROOT / "build/models"
#: What writes the files, with the Python of .venv; quick where they are there.
EXPORTS = [ROOT / f"examples/{folder}/export_model.py" for folder in ("first_split", "elastic_pool", "emotion")]

_CROP_EXTRA = 32  #: Pixels around what the networks see, at their scale: how all of them were judged.
_LONGEST_OF_SHORTEST = 4  #: Photos that are not longer than this are never scaled up.

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Label:
    """What a picture shows."""

    name: str
    probability: float


@dataclass(frozen=True)
class Classifier:
    """One network, with what is around it. Its methods may be called from any thread."""

    name: str  #: By which sessions, workers, queues and people know it; its file is NAME.pt.
    shape: tuple[int, int, int, int]  #: Of its input: 1 x channels x side x side.
    mean: float | tuple[float, ...]  #: Of each channel, or of all, of pixels in 0..1: what is taken off,
    deviation: float | tuple[float, ...]  #: and what the rest is divided by.
    read: Callable[[bytes, int], torch.Tensor] = field(repr=False)
    names: Callable[[Path], Sequence[str]] = field(repr=False)
    gives_logits: bool = True  #: Otherwise probabilities.

    def pixels(self, file: bytes, max_decoded_pixels: int = MAX_PIXELS) -> torch.Tensor:
        """The network's input, float32, of a picture's file. Takes milliseconds, and memory as common.pictures says.

        Raises PictureError: it is no picture, or not one of what the network is for.
        """
        return self.read(file, max_decoded_pixels)

    def label(self, output: torch.Tensor, folder: Path = MODELS) -> Label:
        """The likeliest of a network's output, 1 x classes."""
        probabilities = output[0].softmax(0) if self.gives_logits else output[0]
        best, index = probabilities.max(0)
        return Label(self.names(folder)[int(index)], float(best))

    @property
    def codec(self) -> str:
        """The pixels as bytes, a quarter of the float32; nothing is lost, for they were bytes before."""
        return f"u8:mean={_commas(self.mean)};std={_commas(self.deviation)}"

    def model_file(self, folder: Path = MODELS) -> Path:
        """Raises FileNotFoundError."""
        path = folder / f"{self.name}.pt"
        if not path.exists():
            raise FileNotFoundError(f"{path} is missing; what writes it: {', '.join(map(str, EXPORTS))}")
        return path

    def open_session(
        self,
        endpoint: str,
        *,
        deadline_s: float,
        max_in_flight: int = 64,
        registry: splitnet.TransportRegistry | None = None,
        folder: Path = MODELS,
    ) -> splitnet.Session:
        """The whole network is run by workers at the endpoint, never here. Waits until one of them has answered, for up
        to 60 s. Raises splitnet.Error, FileNotFoundError."""
        return splitnet.Session(
            splitnet.Partitioner(self.model_file(folder)),
            worker=endpoint,
            cut=splitnet.Cut.at_input(),
            codec=self.codec,
            finish_on_device=False,
            deadline_s=deadline_s,
            max_in_flight=max_in_flight,
            registry=registry,
        )


class UnknownClassifierError(KeyError):
    """There is no such classifier; says which there are."""

    def __str__(self) -> str:
        return str(self.args[0])


def classifier(name: str) -> Classifier:
    """Raises UnknownClassifierError."""
    try:
        return CLASSIFIERS[name]
    except KeyError:
        known = ", ".join(CLASSIFIERS)
        raise UnknownClassifierError(f"no model is called {name[:100]!r}, expected one of {known}") from None


def _commas(values: float | tuple[float, ...]) -> str:
    return ",".join(map(repr, values)) if isinstance(values, tuple) else repr(values)


def _photo(
    side: int,
    resampling: Image.Resampling,
    mean: float | tuple[float, ...],
    deviation: float | tuple[float, ...],
    file: bytes,
    max_decoded_pixels: int,
) -> torch.Tensor:
    """The largest square in the middle, less a margin, scaled to the side."""
    longest = _LONGEST_OF_SHORTEST * (side + _CROP_EXTRA)
    image = open_picture(file, longest, max_decoded_pixels).image
    square = min(image.size) * side / (side + _CROP_EXTRA)
    left, top = (image.width - square) / 2, (image.height - square) / 2
    box: Box = (left, top, left + square, top + square)
    scaled = image.resize((side, side), resampling, box)
    pixels = torch.frombuffer(bytearray(scaled.tobytes()), dtype=torch.uint8).reshape(side, side, 3).permute(2, 0, 1)
    scale = torch.tensor(mean).reshape(-1, 1, 1), torch.tensor(deviation).reshape(-1, 1, 1)
    return ((pixels.float() / 255 - scale[0]) / scale[1])[None].contiguous()


def _largest_face(file: bytes, max_decoded_pixels: int) -> torch.Tensor:
    image = open_picture(file, LONGEST_SIDE, max_decoded_pixels).image
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    return find_faces(image)[0].pixels


@functools.cache
def _imagenet_names(folder: Path) -> Sequence[str]:
    return tuple((folder / "imagenet_classes.txt").read_text(encoding="utf-8").splitlines())


def _emotion_names(folder: Path) -> Sequence[str]:
    return EMOTIONS


def _imagenet(
    name: str,
    side: int,
    resampling: Image.Resampling,
    mean: float | tuple[float, ...],
    deviation: float | tuple[float, ...],
) -> Classifier:
    read = functools.partial(_photo, side, resampling, mean, deviation)
    return Classifier(name, (1, 3, side, side), mean, deviation, read, _imagenet_names)


def _efficientnet_lite(number: int, side: int) -> Classifier:
    """Pixels as in TensorFlow's repository of EfficientNet: (byte - 127) / 128."""
    return _imagenet(f"efficientnet_lite{number}", side, Image.Resampling.BICUBIC, 127 / 255, 128 / 255)


#: By name. The four of ImageNet say which of 1,000 things a photo shows, `emotion` what the largest face in it says.
CLASSIFIERS = {
    one.name: one
    for one in (
        _imagenet("mobilenet_v2", 224, Image.Resampling.BILINEAR, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        _efficientnet_lite(0, 224),
        _efficientnet_lite(1, 240),
        _efficientnet_lite(2, 260),
        Classifier(
            "emotion", (1, 1, FACE_SIDE, FACE_SIDE), 0.5, 0.5, _largest_face, _emotion_names, gives_logits=False
        ),
    )
}
