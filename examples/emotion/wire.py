# SPDX-License-Identifier: Apache-2.0
"""A TCP proxy on loopback: shows what passes between two programs, and can be as slow as a real link."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any

import splitnet

_CHUNK_BYTES = 16384
_UNDER_WAY = 1024  # Chunks in one direction of a connection; then its sender waits.


class Wire:
    """Forwards every connection to `address` to HOST:PORT, from a thread of its own, until it is closed.

    The link is modelled as that of `shaped://` is: each direction carries at most so many bytes a second, all connections
    together, and every byte takes `delay_s` one way. Raises OSError, and splitnet.InvalidArgument for what it can't model.
    """

    def __init__(self, target: str, link: splitnet.ShapedOptions | None = None, *, record: bool = False) -> None:
        link = link or splitnet.ShapedOptions()
        if link.up_trace or link.down_trace or link.jitter_s or link.loss:
            raise splitnet.InvalidArgument(f"found {link}, expected a link with up, down and delay only")
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._delay_s = link.delay_s
        self._up = _Direction(link.up_bytes_per_s, record)
        self._down = _Direction(link.down_bytes_per_s, record=False)
        self._connections = itertools.count()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._loop = asyncio.new_event_loop()
        self._loop.add_reader(self._listener, self._accept)
        self._thread = threading.Thread(target=self._loop.run_forever, name="wire")
        self._thread.start()

    @property
    def sent(self) -> bytes:
        """What went to the target so far, all connections one after the other; with `record` only."""
        return self._up.recorded()

    @property
    def sent_bytes(self) -> int:
        """How much went to the target so far."""
        return self._up.passed_bytes

    def forget(self) -> None:
        """Drops what was recorded so far."""
        self._up.forget()

    def close(self) -> None:
        """Ends all connections. Idempotent."""
        if self._loop.is_closed():
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
        self._loop.remove_reader(self._listener)
        self._listener.close()
        await asyncio.sleep(0)  # Those that were accepted just now have begun, and so can clear up.
        writers = list(self._writers)
        await _ended(*self._tasks)
        for writer in writers:
            writer.transport.abort()  # Closing would wait until all was taken.
        await asyncio.sleep(0)  # Now they let go of their sockets.

    def _accept(self) -> None:
        """Not in a task: one that is cancelled here would lose the connection."""
        try:
            accepted, _ = self._listener.accept()
        except OSError:  # It has gone meanwhile.
            return
        accepted.setblocking(False)
        task = self._loop.create_task(self._serve(accepted))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, accepted: socket.socket) -> None:
        """One connection, until both sides have said all, or one of them breaks off."""
        with contextlib.ExitStack() as stack:
            try:
                near_reader, near_writer = await asyncio.open_connection(sock=accepted)
            except BaseException:
                accepted.close()
                raise
            stack.callback(self._let_go, near_writer)
            self._writers.add(near_writer)
            with contextlib.suppress(OSError):  # Closing tells the one side what the other has told.
                await asyncio.sleep(2 * self._delay_s)  # Of the handshake.
                far_reader, far_writer = await asyncio.open_connection(*self._target)
                stack.callback(self._let_go, far_writer)
                self._writers.add(far_writer)
                number = next(self._connections)
                await _both(
                    self._carry(number, near_reader, far_writer, self._up),
                    self._carry(number, far_reader, near_writer, self._down),
                )

    def _let_go(self, writer: asyncio.StreamWriter) -> None:
        writer.close()
        self._writers.discard(writer)

    async def _carry(
        self, connection: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: _Direction
    ) -> None:
        """Reads and writes at the same time, so that what is under way does not hold up what follows."""
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_UNDER_WAY)

        async def send() -> None:
            with contextlib.suppress(OSError):  # What came before is still delivered.
                while data := await reader.read(_CHUNK_BYTES):
                    direction.record(connection, data)
                    sent_s = await direction.send(len(data))
                    await under_way.put((sent_s + self._delay_s, data))
            await under_way.put((self._loop.time() + self._delay_s, b""))

        async def deliver() -> None:
            while True:
                arrives_s, data = await under_way.get()
                await asyncio.sleep(arrives_s - self._loop.time())
                if not data:
                    break
                writer.write(data)
                await writer.drain()
            writer.write_eof()

        await _both(send(), deliver())


async def _both(first: Coroutine[Any, Any, None], second: Coroutine[Any, Any, None]) -> None:
    """Until both are done. When one fails, the other does not wait for it: it is cancelled."""
    tasks = [asyncio.ensure_future(one) for one in (first, second)]
    try:
        await asyncio.gather(*tasks)
    finally:
        await _ended(*tasks)


async def _ended(*tasks: asyncio.Task[None]) -> None:
    """Cancels them, and waits until they have cleared up."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class _Direction:
    """One way of the link; chunks pass one after the other."""

    def __init__(self, bytes_per_s: float | None, record: bool) -> None:
        self._s_per_byte = 0.0 if bytes_per_s is None else 1 / bytes_per_s
        self._records = record
        self._free_at_s = 0.0
        self._lock = threading.Lock()  # What is recorded is read by other threads.
        self._recorded: dict[int, bytearray] = {}  #: By connection.
        self.passed_bytes = 0

    def record(self, connection: int, data: bytes) -> None:
        self.passed_bytes += len(data)
        if self._records:
            with self._lock:
                self._recorded.setdefault(connection, bytearray()).extend(data)

    def recorded(self) -> bytes:
        with self._lock:
            return b"".join(self._recorded.values())

    def forget(self) -> None:
        with self._lock:
            self._recorded.clear()

    async def send(self, size: int) -> float:
        """Waits until so many bytes are sent; the time of the loop at which they were."""
        now_s = asyncio.get_running_loop().time()
        self._free_at_s = max(self._free_at_s, now_s) + size * self._s_per_byte
        await asyncio.sleep(self._free_at_s - now_s)
        return self._free_at_s
