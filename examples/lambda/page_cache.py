# SPDX-License-Identifier: Apache-2.0
"""What of a folder's files the kernel keeps in memory: to start a function from disk, and to see what it read to start."""

from __future__ import annotations

import ctypes
import mmap
import os
import pathlib
from collections.abc import Iterator
from dataclasses import dataclass

# Lambda fetches images in pieces of this size, when they are first read ("On-demand Container Loading in AWS Lambda",
# USENIX ATC 2023).
CHUNK_BYTES = 512 * 1024

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_libc.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p]


@dataclass(frozen=True)
class Resident:
    """How much of a file is in memory."""

    path: pathlib.Path
    size_bytes: int
    resident_bytes: int
    chunks: int  #: Of CHUNK_BYTES, of which at least a page is resident.


def files(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    yield from (path for path in folder.rglob("*") if path.is_file() and path.stat().st_size > 0)


def evict(folder: pathlib.Path) -> int:
    """All files of a folder. Returns how many bytes have stayed all the same: what a process has mapped."""
    for path in files(folder):
        with path.open("rb") as file:
            os.fsync(file)
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return sum(file.resident_bytes for file in resident(folder))


def read_singly(folder: pathlib.Path) -> None:
    """Reads all files of a folder anew, page by page: a fault maps no more than the 64 KiB around it.

    Pages that came with others, when a file was written or read ahead, are mapped together with them, up to megabytes.
    """
    evict(folder)
    for path in files(folder):
        with path.open("rb", buffering=0) as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
            while file.read(1 << 20):
                pass


def resident(folder: pathlib.Path) -> list[Resident]:
    """Of each file that is not empty. The kernel reads ahead: what was needed may be less."""
    return [_resident(path) for path in files(folder)]


def _resident(path: pathlib.Path) -> Resident:
    size = path.stat().st_size
    pages = _resident_pages(path, size)
    per_chunk = CHUNK_BYTES // mmap.PAGESIZE
    chunks = sum(any(pages[at : at + per_chunk]) for at in range(0, len(pages), per_chunk))
    return Resident(path, size, min(size, sum(pages) * mmap.PAGESIZE), chunks)


def _resident_pages(path: pathlib.Path, size: int) -> list[bool]:
    """mincore(2); the mapping reads nothing by itself."""
    count = -(-size // mmap.PAGESIZE)
    found = ctypes.create_string_buffer(count)
    with path.open("rb") as file:
        address = _libc.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, file.fileno(), 0)
    if address == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), f"can't map {path}: {os.strerror(ctypes.get_errno())}")
    try:
        if _libc.mincore(address, size, found) != 0:
            raise OSError(ctypes.get_errno(), f"mincore of {path}: {os.strerror(ctypes.get_errno())}")
    finally:
        _libc.munmap(address, size)
    return [bool(page & 1) for page in found.raw]
