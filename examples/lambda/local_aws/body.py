# SPDX-License-Identifier: Apache-2.0
"""Reads the body of a request, and hashes it while the rest is still coming."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator

from aiohttp import web


class BodyTooLarge(ValueError):
    """More bytes than are taken."""


async def read_body(request: web.Request, max_bytes: int) -> bytes:
    """Raises BodyTooLarge."""
    return b"".join([chunk async for chunk in _chunks(request, max_bytes)])


async def read_hashed_body(request: web.Request, max_bytes: int) -> tuple[bytes, str]:
    """The body and its SHA-256 in hexadecimal. Raises BodyTooLarge."""
    sha256 = hashlib.sha256()
    chunks: list[bytes] = []
    async for chunk in _chunks(request, max_bytes):
        sha256.update(chunk)
        chunks.append(chunk)
    return b"".join(chunks), sha256.hexdigest()


async def _chunks(request: web.Request, max_bytes: int) -> AsyncIterator[bytes]:
    size = request.content_length or 0
    if size > max_bytes:
        raise BodyTooLarge(f"{size} bytes, expected at most {max_bytes}")
    size = 0
    async for chunk in request.content.iter_any():
        size += len(chunk)
        if size > max_bytes:
            raise BodyTooLarge(f"{size} bytes and more, expected at most {max_bytes}")
        yield chunk
