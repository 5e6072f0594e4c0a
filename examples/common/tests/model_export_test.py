# SPDX-License-Identifier: Apache-2.0
"""Exports are made where they are missing or too old, said, and never half there."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import BinaryIO

import pytest

from common import model_export


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.py"
    path.touch()
    return path


def exported(out: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names that were made by a run with `--out`."""
    made: list[str] = []

    def export(folder: Path) -> None:
        for name in ("a", "b"):
            model_export.write_whole(folder / name, lambda file: None)
            made.append(name)

    monkeypatch.setattr(sys, "argv", ["export_model.py", "--out", str(out)])
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert model_export.run("Makes it.\n", ("a", "b"), (source,), export) == 0
    return made


def test_what_is_up_to_date_is_left(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new/folder"
    assert exported(out, source, monkeypatch) == ["a", "b"]
    assert capsys.readouterr().err == f"making a, b in {out}: there is no a\n"
    assert exported(out, source, monkeypatch) == []
    assert capsys.readouterr().err == ""
    (out / "b").unlink()
    assert exported(out, source, monkeypatch) == ["a", "b"]
    assert "there is no b" in capsys.readouterr().err
    later_s = (out / "a").stat().st_mtime + 10
    os.utime(source, (later_s, later_s))
    assert exported(out, source, monkeypatch) == ["a", "b"]
    assert "source.py is newer than a" in capsys.readouterr().err


def test_no_half_file_stays(tmp_path: Path) -> None:
    def fail(file: BinaryIO) -> None:
        file.write(b"half of it")
        raise OSError("no space")

    (tmp_path / "model").write_bytes(b"of before")
    with pytest.raises(OSError, match="no space"):
        model_export.write_whole(tmp_path / "model", fail)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert (tmp_path / "model").read_bytes() == b"of before"
