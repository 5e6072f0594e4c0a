# SPDX-License-Identifier: Apache-2.0
"""The image's entry point: it reads what the worker will read, and is never what keeps the worker from starting."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import page_cache
import start_pages

IN_IMAGE = Path(__file__).resolve().parents[1] / "in_image"


def listed(image: Path) -> dict[str, list[tuple[int, int]]]:
    found: dict[str, list[tuple[int, int]]] = {}
    for line in (image / "bootstrap.pages").read_text().splitlines():
        offset, length, path = line.split()
        found.setdefault(path, []).append((int(offset), int(length)))
    return found


def started(image: Path, *program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([IN_IMAGE, image, *program], capture_output=True, text=True, timeout=60)


def test_the_list_has_the_model_and_a_part_of_the_libraries(image: Path) -> None:
    found = listed(image)
    model = (image / "models/small.pt").stat().st_size
    assert sum(length for _, length in found["/models/small.pt"]) >= model
    (libtorch,) = (path for path in found if path.endswith("/libtorch_cpu.so"))
    read, whole = sum(length for _, length in found[libtorch]), (image / libtorch.lstrip("/")).stat().st_size
    assert 0.05 * whole < read < 0.5 * whole
    for path, ranges in found.items():
        size = (image / path.lstrip("/")).stat().st_size
        assert all(0 <= offset < size and length > 0 for offset, length in ranges)


def test_ranges_that_nearly_touch_are_one(image: Path) -> None:
    for ranges in listed(image).values():
        ordered = sorted(ranges)
        for (offset, length), (following, _) in zip(ordered, ordered[1:], strict=False):
            assert following - (offset + length) > start_pages.GAP_BYTES


def test_what_is_listed_is_read(image: Path) -> None:
    """Also when the program ends at once, as one does that is not the worker."""
    page_cache.evict(image)
    assert started(image, "/bootstrap", "/bootstrap").returncode == 2
    wanted = sum(length for ranges in listed(image).values() for _, length in ranges)
    deadline = time.monotonic() + 30
    while sum(file.resident_bytes for file in page_cache.resident(image)) < wanted:
        assert time.monotonic() < deadline, "what is listed has not been read"
        time.sleep(0.05)


def test_the_worker_starts_without_a_list(image: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(image, bare, copy_function=os.link)
    (bare / "bootstrap.pages").unlink()
    assert started(bare, "/bootstrap", "/splitnet-worker", "--version").stdout.startswith("splitnet-worker ")


def test_a_list_that_leads_nowhere_does_no_harm(image: Path, tmp_path: Path) -> None:
    odd = tmp_path / "odd"
    shutil.copytree(image, odd, copy_function=os.link)
    (odd / "bootstrap.pages").unlink()
    (odd / "bootstrap.pages").write_text("0 4096 /none\n-5 4096 /splitnet-worker\n0 99999999999 /etc/passwd\nwords\n")
    assert started(odd, "/bootstrap", "/splitnet-worker", "--version").returncode == 0


def test_a_program_that_is_not_there_is_named(image: Path) -> None:
    ends = started(image, "/bootstrap", "/none")
    assert ends.returncode == 1 and ends.stderr == "bootstrap: can't run /none: No such file or directory\n"
