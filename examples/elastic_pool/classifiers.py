# SPDX-License-Identifier: Apache-2.0
"""Classifiers by name, with trained weights: how a picture's file becomes a tensor, and the network's output a label.

The files of those that are named here are written by the scripts that EXPORTS names. The whole network runs on workers; the
pixels go to them as the bytes they are, which changes no bit of what the network sees.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image

import splitnet
from common.package_files import ROOT
from common.pictures import MAX_PIXELS
from elastic_pool.preprocessing import FacePreprocessing, PerChannel, PhotoPreprocessing, Preprocessing
from emotion.emotions import LABELS as EMOTIONS

MODELS = ROOT / "build/models"
#: What writes the files, with the Python of .venv; quick where they are there.
EXPORTS = [ROOT / f"examples/{folder}/export_model.py" for folder in ("first_split", "elastic_pool", "emotion")]

_IMAGENET_NAMES = Path("imagenet_classes.txt")
_CROP_EXTRA = 32  #: Pixels around what the networks see, at their scale: how all of them were judged.


@dataclass(frozen=True)
class Label:
    """What a picture shows."""

    name: str
    probability: float


@dataclass(frozen=True)
class Classifier:
    """One network, with what is around it. Its methods may be called from any thread."""

    name: str  #: By which sessions, workers, queues and people know it.
    preprocessing: Preprocessing  #: From a picture's file to the network's input.
    labels: tuple[str, ...] | Path  #: Of its outputs, in their order; or the file that has them, one a line.
    gives_logits: bool = True  #: Otherwise probabilities.
    file: Path | None = None  #: TorchScript, 1 x channels x height x width to 1 x labels; None: NAME.pt.

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of its input: 1 x channels x height x width."""
        return self.preprocessing.shape

    def pixels(self, file: bytes, max_decoded_pixels: int = MAX_PIXELS) -> torch.Tensor:
        """The network's input, float32, of a picture's file. Takes milliseconds, and memory as common.pictures says.

        Raises PictureError: it is no picture, or not one of what the network is for.
        """
        return self.preprocessing.pixels(file, max_decoded_pixels)

    def label(self, output: torch.Tensor, folder: Path = MODELS) -> Label:
        """The likeliest of a network's output, 1 x labels."""
        probabilities = output[0].softmax(0) if self.gives_logits else output[0]
        best, index = probabilities.max(0)
        return Label(self.names(folder)[int(index)], float(best))

    def names(self, folder: Path = MODELS) -> Sequence[str]:
        """Of its outputs. Raises OSError, UnicodeDecodeError (of the labels' file)."""
        return self.labels if isinstance(self.labels, tuple) else lines_of(folder / self.labels)

    @property
    def codec(self) -> str:
        """The pixels as bytes, a quarter of the float32; nothing is lost, for they were bytes before."""
        mean, deviation = self.preprocessing.mean, self.preprocessing.deviation
        count = max(len(one) if isinstance(one, tuple) else 1 for one in (mean, deviation))
        return f"u8:mean={_commas(mean, count)};std={_commas(deviation, count)}"

    def model_file(self, folder: Path = MODELS) -> Path:
        """Where it is; a relative one is in the folder. Raises FileNotFoundError."""
        path = folder / (self.file or f"{self.name}.pt")
        if not path.exists():
            written_by = f"; what writes it: {', '.join(map(str, EXPORTS))}" if self.file is None else ""
            raise FileNotFoundError(f"{path} is missing{written_by}")
        return path

    def open_session(
        self,
        endpoint: str,
        *,
        deadline_s: float,
        max_in_flight: int = 64,
        folder: Path = MODELS,
    ) -> splitnet.Session:
        """The whole network is run by workers at the endpoint, never here. Waits until one of them has answered, for up
        to 60 s. Raises splitnet.Error, FileNotFoundError.

        It tries nothing again: a queue does, and what it gives up must not be put there anew. Who asks may (LazySession).
        """
        return splitnet.Session(
            splitnet.Partitioner(self.model_file(folder)),
            worker=endpoint,
            cut=splitnet.Cut.at_input(),
            codec=self.codec,
            finish_on_device=False,
            deadline_s=deadline_s,
            max_in_flight=max_in_flight,
            options=splitnet.SessionOptions(max_retries=0),
        )


class UnknownClassifierError(KeyError):
    """There is no such classifier; says which there are."""

    def __str__(self) -> str:
        return str(self.args[0])


@functools.cache
def lines_of(file: Path) -> tuple[str, ...]:
    """Of a text in UTF-8, which is read once. Raises OSError, UnicodeDecodeError."""
    return tuple(file.read_text(encoding="utf-8").splitlines())


def _commas(values: PerChannel, count: int) -> str:
    return ",".join(map(repr, values if isinstance(values, tuple) else (values,) * count))


def _imagenet(
    name: str, side: int, mean: PerChannel, deviation: PerChannel, resampling: Image.Resampling
) -> Classifier:
    resize = side + _CROP_EXTRA
    seen = PhotoPreprocessing(side, side, mean, deviation, resize=resize, resampling=resampling)
    return Classifier(name, seen, _IMAGENET_NAMES)


def _efficientnet_lite(number: int, side: int) -> Classifier:
    """Pixels as in TensorFlow's repository of EfficientNet: (byte - 127) / 128."""
    return _imagenet(f"efficientnet_lite{number}", side, 127 / 255, 128 / 255, Image.Resampling.BICUBIC)


#: By name. The four of ImageNet say which of 1,000 things a photo shows, `emotion` what the largest face in it says.
CLASSIFIERS: Mapping[str, Classifier] = {
    one.name: one
    for one in (
        _imagenet("mobilenet_v2", 224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), Image.Resampling.BILINEAR),
        _efficientnet_lite(0, 224),
        _efficientnet_lite(1, 240),
        _efficientnet_lite(2, 260),
        Classifier("emotion", FacePreprocessing(), tuple(EMOTIONS), gives_logits=False),
    )
}


def classifier(name: str, known: Mapping[str, Classifier] = CLASSIFIERS) -> Classifier:
    """One of those that are known. Raises UnknownClassifierError."""
    try:
        return known[name]
    except KeyError:
        expected = ", ".join(known)
        raise UnknownClassifierError(f"no model is called {name[:100]!r}, expected one of {expected}") from None
