# SPDX-License-Identifier: Apache-2.0
"""Cuts and codecs as people read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from splitnet import _core

DEVICE_ONLY = "device only"
WORKER_ONLY = "worker only"
ANY_CUT = "any cut"  #: Of a codec that is not for one cut alone.

# Options that say with what a codec was made, not which one it is: too long to read.
_OPTIONS_LEFT_OUT = ("tables", "mean", "std")


def cut_name(graph: _core.LayerGraph, head: Sequence[int] | None) -> str:
    """Of the cut behind these layers: "device only", "worker only" or "after features.3"; for None "any cut"."""
    if head is None:
        return ANY_CUT
    if not head:
        return WORKER_ONLY
    layers = graph.layers
    return DEVICE_ONLY if len(head) == len(layers) else f"after {layers[head[-1]].name}"


def short_codec(name: str) -> str:
    """`transform:tables=b419…;coarseness=-24` as `transform:coarseness=-24`."""
    kind, _, options = name.partition(":")
    shown = [option for option in options.split(";") if option and option.split("=")[0] not in _OPTIONS_LEFT_OUT]
    return f"{kind}:{';'.join(shown)}" if shown else kind
