# SPDX-License-Identifier: Apache-2.0
"""The cold start is measured on a real worker, in a real image, and the parts make up the whole."""

from __future__ import annotations

import json
import mmap
import subprocess
import sys
import xml.etree.ElementTree
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parents[1]


def measured(image: Path, out: Path, *options: str) -> subprocess.CompletedProcess[str]:
    program: list[str | Path] = [
        sys.executable,
        "-W",
        "ignore",
        EXAMPLE / "cold_start.py",
        "--image",
        image,
        "--model",
        "small",
        "--input",
        "1x3x16x16",
    ]
    program += ["--rounds", "1", "--out", out, *options]
    return subprocess.run(program, capture_output=True, text=True)


def test_every_phase_is_measured(image: Path, tmp_path: Path) -> None:
    ends = measured(image, tmp_path)
    assert ends.returncode == 0, ends.stderr
    document = json.loads((tmp_path / "cold_start.json").read_text())
    assert [start["files"] for start in document["starts"]] == [
        "files in the page cache",
        "files on disk",
        "files on disk, no bootstrap",
    ]
    for start in document["starts"]:
        phases = start["phase_s"]
        assert len(phases) == 10 and all(0 <= seconds < 60 for seconds in phases.values()), phases
        assert phases["libtorch initialised"] > 0.01, "thousands of operators are registered"
    read = [start["read_bytes"] for start in document["starts"]]
    assert 0 < read[1] < read[0], "the first start finds all files in memory, the second none"
    drawing = xml.etree.ElementTree.parse(tmp_path / "cold_start.svg").getroot()
    texts = {element.text for element in drawing.iter() if element.text}
    assert {"libtorch initialised", "second request", "files on disk"} <= texts
    assert "until the first answer" in ends.stdout
    assert ends.stdout.splitlines()[-1] == f"written: {tmp_path}/cold_start.json, {tmp_path}/cold_start.svg"


def test_a_worker_that_does_not_start_is_quoted(image: Path, tmp_path: Path) -> None:
    ends = measured(image, tmp_path, "--", "--executors", "0")
    assert ends.returncode == 1
    assert "did not ask for an invocation; it said:" in ends.stderr and "--executors" in ends.stderr


def test_a_model_that_is_not_there_is_named(image: Path, tmp_path: Path) -> None:
    ends = measured(image, tmp_path, "--model", "large")
    assert ends.returncode == 2 and "--model is large, expected one of those in" in ends.stderr
    assert "small, wide" in ends.stderr


def test_files_that_another_process_holds_in_memory_are_no_cold_start(image: Path, tmp_path: Path) -> None:
    with (image / "splitnet-worker").open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        assert sum(mapped[:: mmap.PAGESIZE]) > 0
        ends = measured(image, tmp_path)
    assert ends.returncode == 1
    assert "stay in the page cache: does another process run in it?" in ends.stderr
