# SPDX-License-Identifier: Apache-2.0
"""What the examples' export_model.py have in common. Run with the Python of .venv, whose packages have weights and photos."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

from common.package_files import ROOT

ZOO = ROOT / "tests/zoo"


def write_whole(path: Path, write: Callable[[BinaryIO], None]) -> None:
    """An interrupted run leaves no half file behind."""
    unfinished = path.with_name(f"{path.name}.unfinished")
    with unfinished.open("wb") as file:
        write(file)
    unfinished.rename(path)


def run(doc: str | None, names: Iterable[str], sources: Iterable[Path], export: Callable[[Path], None]) -> int:
    """Takes `--out`, and has `export` write the files of these names there, unless they are no older than the sources.

    Modules of the zoo can be imported from then on. The exit status.
    """
    parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "build/models")
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    newest = max(source.stat().st_mtime for source in sources)
    if all((out / name).exists() and (out / name).stat().st_mtime >= newest for name in names):
        return 0
    warnings.filterwarnings("ignore")
    sys.path.insert(0, str(ZOO))
    export(out)
    return 0
