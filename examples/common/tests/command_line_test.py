# SPDX-License-Identifier: Apache-2.0
"""What demonstrations take, say, and give back."""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections.abc import Iterator

import pytest
from aiohttp import web

from common.command_line import count, end_on_signals, link, serve_until_told, status_of
from common.pauses import pauses_s
from common.serving import Address, port_number


@pytest.fixture
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_counts() -> None:
    assert count("12") == 12
    for text in ("0", "-1", "1.5", "many", ""):
        with pytest.raises(argparse.ArgumentTypeError, match="expected a whole number of at least 1"):
            count(text)


def test_ports() -> None:
    assert (port_number("0"), port_number("65535")) == (0, 65535)
    for text in ("65536", "-1", "http", ""):
        with pytest.raises(argparse.ArgumentTypeError, match="from 0 to 65535"):
            port_number(text)


def test_links() -> None:
    assert link("up=2Mbit,delay=10ms") == "up=2Mbit,delay=10ms"
    with pytest.raises(argparse.ArgumentTypeError):
        link("up=fast")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_with_the_status_of_shells(handlers: None, number: signal.Signals) -> None:
    end_on_signals()
    with pytest.raises(SystemExit) as end:
        signal.raise_signal(number)
    assert end.value.code == 128 + number


def test_a_second_signal_ends_what_ends(handlers: None) -> None:
    """The event loop leaves SIGINT to Python's own handler, whose KeyboardInterrupt would be a traceback."""

    async def is_told(_: web.Application) -> None:
        asyncio.get_running_loop().call_soon(signal.raise_signal, signal.SIGINT)

    app = web.Application()
    app.on_startup.append(is_told)
    assert serve_until_told(app, Address("127.0.0.1", 0)) == 130
    with pytest.raises(SystemExit) as end:
        signal.raise_signal(signal.SIGINT)
    assert end.value.code == 130


def test_what_is_wrong_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of([]) == 0
    assert status_of(["a", "b"]) == 1
    assert capsys.readouterr().err == "wrong: a\nwrong: b\n"


def test_pauses_grow_to_a_bound_and_differ() -> None:
    pauses = pauses_s(1, 4)
    found = [next(pauses) for _ in range(50)]
    for pause_s, middle_s in zip(found, [1, 2, *[4] * 48], strict=True):
        assert middle_s / 2 <= pause_s <= middle_s * 1.5
    assert len(set(found[2:])) > 1
