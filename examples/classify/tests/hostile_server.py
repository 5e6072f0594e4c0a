# SPDX-License-Identifier: Apache-2.0
"""A server on loopback that answers with whatever bytes it was told to, and pauses between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

#: Parts of an answer; a number is a pause in seconds.
Answer = Callable[[], AsyncIterator[bytes]]


class HostileServer:
    """Knows who has asked for what."""

    def __init__(self, port: int, answers: dict[str, Answer]) -> None:
        self.port = port
        self.answers = answers  #: By path.
        self.requests: list[bytes] = []  #: Heads.
        self.sent_bytes = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def paths(self) -> list[str]:
        return [head.split(b" ")[1].decode() for head in self.requests]

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            self.requests.append(head)
            async for part in self.answers[head.split(b" ")[1].decode()]():
                writer.write(part)
                await writer.drain()
                self.sent_bytes += len(part)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


@asynccontextmanager
async def hostile_server(answers: dict[str, Answer]) -> AsyncIterator[HostileServer]:
    """At a free port, until the end of the block."""
    found = HostileServer(0, answers)
    server = await asyncio.start_server(found.handle, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    async with server:
        yield found


def plain(*parts: bytes) -> Answer:
    """These bytes, at once."""

    async def answer() -> AsyncIterator[bytes]:
        for part in parts:
            yield part

    return answer


def picture(body: bytes, content_type: str = "image/jpeg", headers: str = "") -> Answer:
    """As it should be."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    return plain(head.encode(), body)


def redirect(location: str, status: int = 302) -> Answer:
    return plain(f"HTTP/1.1 {status} Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode())


def endless(head: bytes, part: bytes, pause_s: float = 0.0) -> Answer:
    """The head, and then the part for ever."""

    async def answer() -> AsyncIterator[bytes]:
        yield head
        while True:
            yield part
            await asyncio.sleep(pause_s)

    return answer
