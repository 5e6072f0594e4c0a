# SPDX-License-Identifier: Apache-2.0
"""The network as a picture: a row for each block, a cell for each layer, coloured by where it runs."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from emotion.network import Block

DEVICE_COLOUR = "#0072B2"  #: These two are told apart by the colour-blind too (Okabe and Ito).
WORKER_COLOUR = "#D55E00"

_WIDTH = 340  # Of a phone of 390 pixels, less the page's margins.
_LABEL = 70
_ROW = 30
_GAP = 22
_TOP = 26


def picture_of(blocks: Sequence[Block], head_layers: int, sent: str, ink: str) -> str:
    """An SVG of the network, cut behind so many layers; `sent` says in words what crosses the cut, in the colour `ink`."""
    parts = [_legend()]
    y = _TOP
    for block in blocks:
        parts.append(_row(block, head_layers, y))
        y += _ROW
        if block is not blocks[-1] or block.first < head_layers < block.end:
            parts.append(_boundary(block, head_layers, sent, y))
            y += _GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y + 4}" width="{_WIDTH}" height="{y + 4}" '
        f'font-family="sans-serif" font-size="12" fill="{ink}" color="{ink}">{"".join(parts)}</svg>'
    )


def _legend() -> str:
    return "".join(
        f'<rect x="{x}" y="3" width="12" height="12" rx="2" fill="{colour}"/><text x="{x + 17}" y="13">{words}</text>'
        for x, colour, words in ((_LABEL, DEVICE_COLOUR, "this device"), (_LABEL + 120, WORKER_COLOUR, "worker"))
    )


def _row(block: Block, head_layers: int, y: int) -> str:
    width = (_WIDTH - _LABEL) / (block.end - block.first)
    cells = "".join(
        f'<rect x="{_LABEL + (layer - block.first) * width + 1:.1f}" y="{y}" width="{width - 2:.1f}" height="{_ROW}" '
        f'rx="3" fill="{DEVICE_COLOUR if layer < head_layers else WORKER_COLOUR}"/>'
        for layer in range(block.first, block.end)
    )
    return f'<text x="0" y="{y + 19}">{escape(block.name)}</text>{cells}'


def _boundary(block: Block, head_layers: int, sent: str, y: int) -> str:
    """The bytes behind a block; a line where the cut is, and inside a block the line is below it."""
    is_cut = block.first < head_layers <= block.end
    if not is_cut:
        return f'<text x="{_LABEL}" y="{y + 15}" opacity="0.8">{block.output_bytes / 1000:.1f} KB</text>'
    line = f'<path d="M0 {y + 3}H{_WIDTH}" stroke="currentColor" stroke-width="1.5" stroke-dasharray="5 3"/>'
    return f'{line}<text x="{_LABEL}" y="{y + 18}" font-weight="bold">{escape(sent)}</text>'
