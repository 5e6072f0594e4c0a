# SPDX-License-Identifier: Apache-2.0
"""POST over one kept connection, to the emulator, without copies: streams of asyncio copy a large body several times."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping

_READ_BYTES = 2**18


class HttpConnection:
    """HTTP/1.1 to one server on loopback; one exchange at a time."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._unread = bytearray()

    @staticmethod
    async def open(port: int) -> HttpConnection:
        """To that port on loopback. Raises ConnectionRefusedError."""
        connection = socket.socket()
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
        except BaseException:
            connection.close()
            raise
        return HttpConnection(connection)

    async def post(self, path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        """Status and body. Raises ConnectionError when the server breaks off."""
        lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        head = "\r\n".join([*lines, "", ""]).encode()
        loop = asyncio.get_running_loop()
        if len(body) < _READ_BYTES:
            await loop.sock_sendall(self._socket, head + body)
        else:
            await loop.sock_sendall(self._socket, head)
            await loop.sock_sendall(self._socket, body)
        fields = (await self._until(b"\r\n\r\n")).lower().split(b"\r\n")
        status = int(fields[0].split(b" ")[1])
        if b"transfer-encoding: chunked" in fields:
            return status, await self._chunks()
        for field in fields:
            if field.startswith(b"content-length:"):
                return status, bytes(await self._exactly(int(field[15:])))
        raise ConnectionError(f"an answer without a length, expected Content-Length or chunks: {fields}")

    async def _until(self, end: bytes) -> bytes:
        while (at := self._unread.find(end)) < 0:
            data = await asyncio.get_running_loop().sock_recv(self._socket, _READ_BYTES)
            if not data:
                raise ConnectionResetError(f"the server closed the connection after {bytes(self._unread)!r}")
            self._unread += data
        found = bytes(self._unread[:at])
        del self._unread[: at + len(end)]
        return found

    async def _exactly(self, size: int) -> bytearray:
        """Most of a large body is received where it stays."""
        whole = bytearray(size)
        filled = min(size, len(self._unread))
        whole[:filled] = self._unread[:filled]
        del self._unread[:filled]
        view = memoryview(whole)
        while filled < size:
            count = await asyncio.get_running_loop().sock_recv_into(self._socket, view[filled:])
            if count == 0:
                raise ConnectionResetError(f"the server closed the connection after {filled} bytes of {size}")
            filled += count
        return whole

    async def _chunks(self) -> bytes:
        chunks: list[bytearray] = []
        while size := int(await self._until(b"\r\n"), 16):
            chunks.append(await self._exactly(size))
            await self._until(b"\r\n")
        await self._until(b"\r\n")
        return b"".join(chunks)

    def close(self) -> None:
        self._socket.close()
