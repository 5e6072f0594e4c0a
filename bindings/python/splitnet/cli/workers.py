# SPDX-License-Identifier: Apache-2.0
"""Reaching a worker, and the codecs and plans to choose from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from splitnet.cli.failures import Failure, WrongUsage
from splitnet.cli.output import say

if TYPE_CHECKING:
    import splitnet

_SAMPLED_CUTS = 5


def token_of(file: Path | None) -> str:
    """The worker's token; empty without a file. Raises InvalidArgument naming the file."""
    import splitnet

    return str(splitnet.load_token(str(file))) if file else ""


def registry_of(ca_file: Path | None) -> splitnet.TransportRegistry:
    """The transports, with these authorities."""
    import splitnet

    if ca_file is None:
        return splitnet.default_registry()
    return splitnet.TransportRegistry(splitnet.TlsOptions(ca_file=str(ca_file)))


def calibration_of(file: Path | None, part: splitnet.Partitioner) -> splitnet.Calibration | None:
    """Of this model, or Incompatible."""
    import splitnet

    if file is None:
        return None
    calibration = splitnet.Calibration.from_file(str(file))
    calibration.check_fits(part.layers)
    return calibration


def codec_profiles(part: splitnet.Partitioner, names: Sequence[str]) -> list[splitnet.CodecProfile]:
    """Codecs by name, with the ratio that they have on the boundaries of the model's example inputs: the median over
    some cuts. What they do to the answers only a calibration knows, and a message says so."""
    import splitnet

    registry = splitnet.CodecRegistry()
    profiles = []
    for name in dict.fromkeys(names):
        codec = registry.make(name)
        if codec is None:
            continue  # Raw, which is always there.
        ratio = _ratio(part, codec)
        if ratio is None:
            raise Failure(f"the codec {name} takes no tensor of this model", "splitnet run --codec raw")
        profiles.append(splitnet.CodecProfile(name=name, ratio=ratio, only_inputs=codec.only_inputs))
    lossy = _lossy(names)
    if lossy:
        say(f"what {', '.join(lossy)} does to the answers is not known, and counts as nothing: splitnet calibrate")
    return profiles


def check_known_effect(names: Sequence[str]) -> None:
    """Raises WrongUsage: a bound on what changes the answers, and codecs of which nobody knows that."""
    lossy = _lossy(names)
    if lossy:
        raise WrongUsage(
            f"what {', '.join(lossy)} does to the answers is not known, so --max-accuracy-loss can't be kept to",
            "splitnet calibrate, and its file as --calibration instead of --codec",
        )


def _lossy(names: Sequence[str]) -> list[str]:
    return [name for name in names if name.partition(":")[0] not in ("raw", "f32")]


def _ratio(part: splitnet.Partitioner, codec: splitnet.Codec) -> float | None:
    boundaries = [part.example_inputs] if codec.only_inputs else _sampled_boundaries(part)
    ratios = [ratio for values in boundaries if (ratio := _ratio_of(codec, values)) is not None]
    return median(ratios) if ratios else None


def _sampled_boundaries(part: splitnet.Partitioner) -> list[list[Any]]:
    import splitnet

    legal = [cut.index for cut in part.cuts() if not cut.refusal]
    count = min(_SAMPLED_CUTS, len(legal))
    sampled = [legal[(2 * i + 1) * len(legal) // (2 * count)] for i in range(count)]
    return [part.example_boundary(splitnet.StageKey(cuts=[list(range(index + 1))], index=1)) for index in sampled]


def _ratio_of(codec: splitnet.Codec, values: Sequence[Any]) -> float | None:
    import torch

    import splitnet

    taken = [value for value in values if isinstance(value, torch.Tensor) and codec.takes(value)]
    if not taken:
        return None
    encoded = splitnet.encode_values(codec, taken).values
    return _bytes_in(encoded) / sum(value.nbytes for value in taken)


def _bytes_in(value: Any) -> int:
    if isinstance(value, list | tuple):
        return sum(map(_bytes_in, value))
    return int(getattr(value, "nbytes", 0))
