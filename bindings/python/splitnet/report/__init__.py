# SPDX-License-Identifier: Apache-2.0
"""A sweep as a page to read: `splitnet sweep --report sweep.html`.

All three functions take the JSON document that `splitnet sweep --json` prints, and raise ValueError with one sentence
that says what was found and what was expected when it is not one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import vl_convert

from splitnet.files import beside

from . import page, theme
from .document import Report
from .reading import read

__all__ = ["render", "save", "save_pngs"]

_PNG_WIDTH = 760  # Pixels before the scale.
_PNG_SCALE = 2


def render(document: Mapping[str, Any]) -> str:
    """The page: HTML with all that it needs inside."""
    return page.html(read(document))


def save(document: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Writes the page to `path` in UTF-8: of a file all of it or, with an OSError, nothing."""
    _write(Path(path), render(document).encode("utf-8"))


def save_pngs(document: Mapping[str, Any], folder: str | os.PathLike[str]) -> list[Path]:
    """One picture for each plot in `folder`, which is made when it is not there: `map.png`, `latency-2-12-40-mbit-s….png`
    with the link's number from 1. Returns their paths. OSError as `save`; pictures written before stay."""
    report = read(document)
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    paths = []
    for key, plot in page.plots(report).by_key().items():
        spec = {**plot.spec, "config": theme.CONFIG, "width": _PNG_WIDTH, "background": theme.PAPER}
        path = target / f"{_file_name(report, key)}.png"
        _write(path, vl_convert.vegalite_to_png(spec, vl_version=page.vega_lite_version(), scale=_PNG_SCALE))
        paths.append(path)
    return paths


def _file_name(report: Report, key: str) -> str:
    plot, _, index = key.partition("-")
    if not index:
        return plot
    label = report.links[int(index)].label.split(" (")[0].lower().replace("µ", "u")
    return f"{plot}-{int(index) + 1}-{re.sub('[^a-z0-9]+', '-', label).strip('-')}"


def _write(path: Path, content: bytes) -> None:
    with beside(path) as draft:
        draft.write_bytes(content)
