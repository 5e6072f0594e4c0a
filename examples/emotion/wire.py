# SPDX-License-Identifier: Apache-2.0
"""A TCP proxy on loopback: shows what passes between two programs, and can be as slow as a real link."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any

_CHUNK_BYTES = 16384


class Wire:
    """Forwards every connection to `address` to HOST:PORT, from a thread of its own, until it is closed.

    Each direction of the link carries at most so many bytes a second, all connections together, and every byte takes
    `delay_s` one way. Raises OSError.
    """

    def __init__(
        self,
        target: str,
        *,
        up_bytes_per_s: float = float("inf"),
        down_bytes_per_s: float = float("inf"),
        delay_s: float = 0,
        record: bool = False,
    ) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._delay_s = delay_s
        self._directions = (_Direction(up_bytes_per_s, record), _Direction(down_bytes_per_s, record))
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        self._thread = threading.Thread(target=self._loop.run_forever, name="wire")
        self._thread.start()

    @property
    def sent(self) -> bytes:
        """What went to the target so far, all connections one after the other; with `record` only."""
        return b"".join(self._directions[0].recorded.values())

    @property
    def sent_bytes(self) -> int:
        """How much went to the target so far."""
        return self._directions[0].passed_bytes

    def forget(self) -> None:
        """Drops what was recorded so far."""
        for direction in self._directions:
            direction.recorded.clear()

    def close(self) -> None:
        """Ends all connections. Idempotent."""
        if not self._thread.is_alive():
            return
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Wire:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    async def _end(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _serve(self, near_reader: asyncio.StreamReader, near_writer: asyncio.StreamWriter) -> None:
        try:
            await asyncio.sleep(2 * self._delay_s)  # Of the handshake.
            far_reader, far_writer = await asyncio.open_connection(*self._target)
        except OSError:
            near_writer.close()
            return
        self._start(self._carry(near_reader, far_writer, self._directions[0]))
        self._start(self._carry(far_reader, near_writer, self._directions[1]))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: _Direction) -> None:
        """Reads and writes at the same time, so that what is under way does not hold up what follows."""
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(1024)
        delivering = self._start(self._deliver(under_way, writer))
        try:
            while data := await reader.read(_CHUNK_BYTES):
                direction.record(id(writer), data)
                sent_s = await direction.send(len(data))
                await under_way.put((sent_s + self._delay_s, data))
        except OSError:
            pass
        finally:
            await under_way.put((0, b""))
            await delivering

    async def _deliver(self, under_way: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
        try:
            while (item := await under_way.get())[1]:
                await asyncio.sleep(item[0] - self._loop.time())
                writer.write(item[1])
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()


class _Direction:
    """One way of the link; chunks pass one after the other."""

    def __init__(self, bytes_per_s: float, record: bool) -> None:
        self._bytes_per_s = bytes_per_s
        self._records = record
        self._free_at_s = 0.0
        self.passed_bytes = 0
        self.recorded: dict[int, bytearray] = {}  #: By connection.

    def record(self, connection: int, data: bytes) -> None:
        self.passed_bytes += len(data)
        if self._records:
            self.recorded.setdefault(connection, bytearray()).extend(data)

    async def send(self, size: int) -> float:
        """Waits until so many bytes are sent; the time of the loop at which they were."""
        now_s = asyncio.get_running_loop().time()
        self._free_at_s = max(self._free_at_s, now_s) + size / self._bytes_per_s
        await asyncio.sleep(self._free_at_s - now_s)
        return self._free_at_s
