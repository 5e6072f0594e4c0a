# SPDX-License-Identifier: Apache-2.0
"""Cuts and codecs in tables."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import splitnet


def cut_behind(graph: splitnet.LayerGraph, head: Sequence[int] | None) -> str:
    """For people: "device only", "worker only", "after features.3"; of a codec for every cut "any"."""
    if head is None:
        return "any"
    if not head:
        return "worker only"
    if len(head) == len(graph.layers):
        return "device only"
    return f"after {graph.layers[head[-1]].name}"


def short_codec(name: str) -> str:
    """Without the digest of its tables, which tells people nothing."""
    return re.sub(r":$", "", re.sub(r"tables=[0-9a-f]+;?", "", name))
