# SPDX-License-Identifier: Apache-2.0
"""Colours and fonts of all plots. The page's style sheet takes over the colours of text and lines, so that they follow
the reader's light or dark mode; the colours of the data are the same everywhere, and chosen to differ in brightness too
(after Okabe and Ito, "Color Universal Design", 2008)."""

from __future__ import annotations

from typing import Any

from splitnet.names import DEVICE_ONLY, WORKER_ONLY

from .document import SPLIT

HEAD = "#2C7FC0"
TAIL = "#009E73"
TERMS = {"head": HEAD, "encode": "#E69F00", "wire": "#8A9299", "decode": "#CC79A7", "tail": TAIL}

WORKER_ONLY_COMPRESSED = "worker only, compressed"
# What runs on the device is blue and what runs on the worker green, as in the terms.
PLACES = {DEVICE_ONLY: HEAD, WORKER_ONLY: TAIL, WORKER_ONLY_COMPRESSED: "#7CCFB3", SPLIT: "#D55E00"}

# For codecs, in the order in which they are met.
SERIES = ["#2C7FC0", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#8A6D00", "#8A9299"]

INK = "#1c2024"
QUIET_INK = "#4a525a"
GRID = "#dfe3e6"
PAPER = "#ffffff"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"

CONFIG: dict[str, Any] = {
    "background": "transparent",
    "font": FONT,
    "mark": {"aria": False},
    "axis": {
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "labelColor": INK,
        "titleColor": QUIET_INK,
        "gridColor": GRID,
        "domainColor": GRID,
        "tickColor": GRID,
        "labelLimit": 180,
    },
    "legend": {
        "orient": "top",
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "labelColor": INK,
        "titleColor": QUIET_INK,
        "columnPadding": 14,
        "symbolSize": 90,
        "symbolOpacity": 1,
        "layout": {"top": {"direction": "vertical", "margin": 6}},
    },
    "view": {"stroke": None},
    "text": {"color": INK, "fontSize": 12},
    "rule": {"color": INK},
}

# For a phone. A legend may be wider than the plot there: it ends where that ends, above the labels of the axis.
NARROW_CONFIG: dict[str, Any] = CONFIG | {
    "axis": CONFIG["axis"] | {"labelLimit": 135, "labelFontSize": 11, "titleFontSize": 11},
    "legend": CONFIG["legend"]
    | {"columns": 2, "labelFontSize": 11, "layout": {"top": CONFIG["legend"]["layout"]["top"] | {"anchor": "end"}}},
}
