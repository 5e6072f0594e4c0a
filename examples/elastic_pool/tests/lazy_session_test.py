# SPDX-License-Identifier: Apache-2.0
"""When a session is opened, tried again and given up, with a real worker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import splitnet
from elastic_pool import lazy_session
from elastic_pool.lazy_session import LazySession
from elastic_pool.tests.controller_test import model  # noqa: F401 (a fixture)

ONES = torch.ones(1, 4)
NOBODY = "nobody is there"


@pytest.fixture(scope="module")
def open_session(model: Path) -> Iterator[Callable[[], splitnet.Session]]:  # noqa: F811
    part = splitnet.Partitioner(model)
    with splitnet.Worker(part, threads=1) as worker:
        yield lambda: splitnet.Session(part, worker=worker.address, cut=splitnet.Cut.at_input(), finish_on_device=False)


class Opener:
    """Fails in these ways first, one by one; counts."""

    def __init__(self, then: Callable[[], splitnet.Session], *errors: Exception) -> None:
        self.opened = 0
        self.sessions: list[splitnet.Session] = []
        self._then = then
        self._errors = list(errors)

    def __call__(self) -> splitnet.Session:
        self.opened += 1
        if self._errors:
            raise self._errors.pop(0)
        self.sessions.append(self._then())
        return self.sessions[-1]


def test_it_is_opened_once_when_it_is_asked(open_session: Callable[[], splitnet.Session]) -> None:
    opener = Opener(open_session)

    async def run() -> None:
        session = LazySession(opener, pytest.fail)
        await session.close()  # There is nothing to close.
        assert opener.opened == 0
        answers = await asyncio.gather(*(session.submit(number * ONES) for number in (1, 2)))
        assert [answer.output.tolist() for answer in answers] == [[[1.0] * 4], [[2.0] * 4]]
        await session.submit(ONES)
        assert opener.opened == 1
        await session.close()

    asyncio.run(run())
    with pytest.raises(splitnet.Error, match="closed"):
        opener.sessions[0](ONES)


def test_it_can_be_woken_before(open_session: Callable[[], splitnet.Session]) -> None:
    opener = Opener(open_session)

    async def run() -> None:
        session = LazySession(opener, pytest.fail)
        await session.wake()
        assert opener.opened == 1
        await session.submit(ONES)
        assert opener.opened == 1
        await session.close()

    asyncio.run(run())


def test_who_comes_too_early_tries_again(open_session: Callable[[], splitnet.Session]) -> None:
    opener = Opener(open_session, splitnet.Unavailable(NOBODY), splitnet.DeadlineExceeded("too late"))
    said: list[str] = []

    async def run() -> None:
        session = LazySession(opener, said.append)
        assert (await session.submit(ONES)).output.tolist() == ONES.tolist()
        await session.close()

    asyncio.run(run())
    assert opener.opened == 3
    assert said == [f"a picture is tried again: {words}" for words in (NOBODY, "too late")]


@pytest.mark.parametrize("error", [splitnet.Incompatible("another model"), FileNotFoundError("no model")])
def test_what_does_not_go_away_is_raised_and_the_next_one_tries_anew(
    open_session: Callable[[], splitnet.Session], error: Exception
) -> None:
    opener = Opener(open_session, error)

    async def run() -> None:
        session = LazySession(opener, pytest.fail)
        with pytest.raises(type(error), match=str(error)):
            await session.submit(ONES)
        assert (await session.submit(ONES)).output.tolist() == ONES.tolist()
        assert opener.opened == 2
        await session.close()

    asyncio.run(run())


def test_it_is_given_up_in_the_end(
    open_session: Callable[[], splitnet.Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each failure takes a second of a clock that nothing else moves."""
    opener = Opener(open_session, *(splitnet.Unavailable(f"{NOBODY} ({number})") for number in (1, 2, 3)))
    monkeypatch.setattr(lazy_session, "time", SimpleNamespace(monotonic=lambda: float(opener.opened)))
    said: list[str] = []

    async def run() -> None:
        session = LazySession(opener, said.append)
        with pytest.raises(splitnet.Unavailable, match=r"nobody is there \(3\)"):
            await session.submit(ONES, give_up_s=2.5)

    asyncio.run(run())
    assert opener.opened == 3
    assert said == [f"a picture is tried again: {NOBODY} ({number})" for number in (1, 2)]
