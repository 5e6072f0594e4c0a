# SPDX-License-Identifier: Apache-2.0
"""Arguments that people mix up, and keywords that may be left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from splitnet import _core
from splitnet.errors import InvalidArgument


def given(**keywords: Any) -> dict[str, Any]:
    """Those that are not None."""
    return {name: value for name, value in keywords.items() if value is not None}


def check_model(model: object) -> None:
    """Raises InvalidArgument: it is a path, a module or something else."""
    if not isinstance(model, _core.Model):
        raise InvalidArgument(
            f"model: found {_shown(model)}, expected a Partitioner: splitnet.Partitioner(…, example_inputs=[x])"
        )


def check_endpoint(worker: object) -> None:
    """Raises InvalidArgument: it is a Worker or something else."""
    if not isinstance(worker, str):
        raise InvalidArgument(
            f"worker: found {_shown(worker)}, expected an endpoint, as tcp://127.0.0.1:7070 or a Worker's `address`"
        )


def check_codec_profiles(codecs: Sequence[object]) -> None:
    """Raises InvalidArgument: they are names."""
    for codec in codecs:
        if not isinstance(codec, _core.CodecProfile):
            raise InvalidArgument(
                f"codecs: found {_shown(codec)}, expected CodecProfile(name=…, ratio=…), or a `calibration`"
            )


def _shown(value: object) -> str:
    return f"{value!r}" if isinstance(value, str | int | float) else f"a {type(value).__name__}"
