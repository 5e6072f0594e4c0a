# SPDX-License-Identifier: Apache-2.0
"""The wire carries everything both ways, remembers it, takes its time, and ends whatever is under way."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

import splitnet
from emotion.wire import Wire

Handle = Callable[[socket.socket], None]


@contextlib.contextmanager
def served(handle: Handle) -> Iterator[str]:
    """A server for one connection; its address."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                connection, _ = server.accept()
                with connection:
                    handle(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield "{}:{}".format(*server.getsockname())
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def connected(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=30)


def read_all(connection: socket.socket) -> bytes:
    found = b""
    while data := connection.recv(65536):
        found += data
    return found


def answer_backwards(connection: socket.socket) -> None:
    """Once all was said: the connection has been closed in one direction by then."""
    connection.sendall(read_all(connection)[::-1])


def test_carries_both_ways_and_remembers_what_was_sent() -> None:
    said = bytes(range(256)) * 16384  # More than any buffer on the way.
    with served(answer_backwards) as target, Wire(target, record=True) as wire:
        with connected(wire.address) as client:
            client.sendall(said)
            client.shutdown(socket.SHUT_WR)
            assert read_all(client) == said[::-1]
        assert (wire.sent, wire.sent_bytes) == (said, len(said))
        wire.forget()
        assert (wire.sent, wire.sent_bytes) == (b"", len(said))


def test_is_as_slow_as_the_link() -> None:
    link = splitnet.ShapedOptions.parse("up=4Mbit,down=8Mbit,delay=20ms")
    with served(answer_backwards) as target, Wire(target, link) as wire:
        begun_s = time.monotonic()
        with connected(wire.address) as client:
            client.sendall(bytes(100_000))
            client.shutdown(socket.SHUT_WR)
            assert len(read_all(client)) == 100_000
        assert time.monotonic() - begun_s >= 0.2 + 0.1 + 2 * 0.04, "both transfers, the handshake, there and back"


def test_nobody_behind_it_ends_the_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        target = "{}:{}".format(*free.getsockname())
    with Wire(target) as wire, connected(wire.address) as client:
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(1) == b""


@pytest.mark.parametrize("link", ["delay=1000s", "up=1kbit"])
def test_closes_at_once_whatever_is_under_way(link: str) -> None:
    """In the handshake, and with more under way than passes in minutes."""
    with served(answer_backwards) as target:
        wire = Wire(target, splitnet.ShapedOptions.parse(link))
        with connected(wire.address) as client:
            client.sendall(bytes(50_000))
            begun_s = time.monotonic()
            wire.close()
            wire.close()
            assert time.monotonic() - begun_s < 60, "what is under way would take 400 s and more"
            with contextlib.suppress(ConnectionResetError):
                assert client.recv(1) == b""


def test_closes_when_nobody_reads() -> None:
    """The target takes nothing, so the wire's own queue is full."""
    release = threading.Event()
    with served(lambda _: (release.wait(60), None)[1]) as target:
        wire = Wire(target)
        with connected(wire.address) as client:
            client.setblocking(False)
            until_s = time.monotonic() + 2
            while time.monotonic() < until_s:
                try:
                    client.send(bytes(1 << 20))
                except BlockingIOError:  # The wire takes it from the kernel until its own queue is full, too.
                    time.sleep(0.01)
            wire.close()
        release.set()


def test_one_side_that_breaks_off_ends_the_other() -> None:
    with served(lambda connection: None) as target, Wire(target) as wire, connected(wire.address) as client:
        assert client.recv(1) == b""


def test_what_it_can_not_model_is_refused() -> None:
    with pytest.raises(splitnet.InvalidArgument, match="expected a link with up, down and delay only"):
        Wire("127.0.0.1:1", splitnet.ShapedOptions.parse("up=1Mbit,loss=0.1"))
