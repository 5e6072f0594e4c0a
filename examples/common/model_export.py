# SPDX-License-Identifier: Apache-2.0
"""What the examples' export_model.py have in common. Run with the Python of .venv, whose packages have weights and photos."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import warnings
from collections.abc import Callable, Collection
from pathlib import Path
from typing import BinaryIO

from common.package_files import ROOT

ZOO = ROOT / "tests/zoo"


def write_whole(path: Path, write: Callable[[BinaryIO], None]) -> None:
    """An interrupted run leaves no half file behind, and two at a time don't disturb each other."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        with unfinished.open("wb") as file:
            write(file)
        unfinished.rename(path)
    finally:
        unfinished.unlink(missing_ok=True)


def run(doc: str | None, names: Collection[str], sources: Collection[Path], export: Callable[[Path], None]) -> int:
    """Takes `--out`, and has `export` write the files of these names there, unless they are no older than the sources.

    Says on standard error what is made, and why. Modules of the zoo can be imported from then on. The exit status.
    """
    parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "build/models")
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    why = _why(out, names, sources)
    if not why:
        return 0
    print(f"making {', '.join(names)} in {out}: {why}", file=sys.stderr, flush=True)
    warnings.filterwarnings("ignore")
    sys.path.insert(0, str(ZOO))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # Also under common.program, unfinished files are removed.
    export(out)
    return 0


def _why(out: Path, names: Collection[str], sources: Collection[Path]) -> str:
    """Why the files have to be made; empty: they don't."""
    newest = max(sources, key=lambda source: source.stat().st_mtime)
    for name in names:
        if not (out / name).exists():
            return f"there is no {name}"
        if (out / name).stat().st_mtime < newest.stat().st_mtime:
            return f"{newest.name} is newer than {name}"
    return ""
