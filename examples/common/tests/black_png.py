# SPDX-License-Identifier: Apache-2.0
"""Pictures that are a thousand times larger when they are decoded."""

from __future__ import annotations

import zlib


def black_png(width: int, height: int, rows: int | None = None) -> bytes:
    """A PNG of that size, red, green and blue, of whose rows so many are in the file; None: all."""
    header = width.to_bytes(4) + height.to_bytes(4) + bytes([8, 2, 0, 0, 0])
    packer = zlib.compressobj(9)
    row = bytes(1 + 3 * width)
    pixels = b"".join(packer.compress(row) for _ in range(height if rows is None else rows)) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, body: bytes) -> bytes:
    return len(body).to_bytes(4) + kind + body + zlib.crc32(kind + body).to_bytes(4)
