# SPDX-License-Identifier: Apache-2.0
"""Which pages of an image's files the worker reads while it starts: the list that bootstrap.cpp asks for beforehand.

The worker is started once, with the image's own loader and libraries, and the kernel's table of its pages is read
(/proc/PID/pagemap). What is read and not mapped does not show there: models are taken whole.
"""

from __future__ import annotations

import mmap
import os
import pathlib
import re
import struct
import subprocess
from collections.abc import Iterator

import page_cache

START_TIMEOUT_S = 120
# Two ranges with no more between them are one: a request costs more than that.
GAP_BYTES = 32 * 1024
_PRESENT = 0b11 << 62  # In memory, or swapped out.

Range = tuple[int, int]  #: Offset and length in bytes.


class StartError(Exception):
    """The worker did not start; with what it said."""


def command(image: pathlib.Path, program: str = "splitnet-worker") -> list[str]:
    """A program of the image with the image's loader and libraries; needs no rights, other than in_image."""
    (loader,) = image.glob("lib*/ld-linux-*")
    (libraries,) = image.glob("lib/*-linux-gnu")
    return [str(loader), "--library-path", str(libraries), str(image / program)]


def ranges(image: pathlib.Path, models: list[str], options: list[str]) -> dict[str, list[Range]]:
    """By path in the image. `options` go to the worker, for instance the inputs to try the models with."""
    image = image.resolve()  # As the kernel names its files.
    page_cache.read_singly(image)
    files = [str(image / f"models/{model}.pt") for model in models]
    worker = subprocess.Popen(
        [*command(image), *files, "--listen", "tcp://127.0.0.1:0", "--threads", "1", *options],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert worker.stdout is not None
        if not worker.stdout.readline().startswith("listening on "):
            worker.kill()
            raise StartError(f"the worker does not start in {image}: {worker.communicate()[1].strip()}")
        touched = _touched(worker.pid, image)
    finally:
        worker.terminate()
        worker.communicate(timeout=START_TIMEOUT_S)
    for file in files:
        touched[pathlib.Path(file)] = set(range(-(-os.path.getsize(file) // mmap.PAGESIZE)))
    return {f"/{path.relative_to(image)}": list(_joined(pages)) for path, pages in sorted(touched.items())}


def text(found: dict[str, list[Range]]) -> str:
    """As bootstrap.cpp reads it."""
    return "".join(f"{offset} {length} {path}\n" for path, parts in found.items() for offset, length in parts)


def _touched(pid: int, image: pathlib.Path) -> dict[pathlib.Path, set[int]]:
    """Numbers of the pages of each file of the image that the process has mapped and touched."""
    found: dict[pathlib.Path, set[int]] = {}
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/pagemap", "rb", buffering=0) as pagemap:
        for line in maps:
            mapping = re.match(r"(\w+)-(\w+) \S+ (\w+) \S+ \d+ +(/.*)", line)
            if mapping is None or not pathlib.Path(mapping[4]).is_relative_to(image):
                continue
            begin, end, offset = (int(mapping[number], 16) // mmap.PAGESIZE for number in (1, 2, 3))
            entries = os.pread(pagemap.fileno(), 8 * (end - begin), 8 * begin)
            pages = found.setdefault(pathlib.Path(mapping[4]), set())
            pages.update(
                offset + number for number, (entry,) in enumerate(struct.iter_unpack("=Q", entries)) if entry & _PRESENT
            )
    return found


def _joined(pages: set[int]) -> Iterator[Range]:
    begin = end = -1
    for page in sorted(pages):
        if begin >= 0 and (page - end) * mmap.PAGESIZE <= GAP_BYTES:
            end = page + 1
            continue
        if begin >= 0:
            yield begin * mmap.PAGESIZE, (end - begin) * mmap.PAGESIZE
        begin, end = page, page + 1
    if begin >= 0:
        yield begin * mmap.PAGESIZE, (end - begin) * mmap.PAGESIZE
