# SPDX-License-Identifier: Apache-2.0
"""Fetching from strangers: hostile URLs, hostile servers, hostile names."""

from __future__ import annotations

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeVar

import pytest

from classify.addresses import AddressRule, Endpoint
from classify.fetcher import Fetcher, FetchError, FetchLimits, Lookup, checked_url, open_fetcher
from classify.tests.hostile_server import Answer, HostileServer, endless, hostile_server, picture, plain, redirect

QUICK = FetchLimits(body_bytes=200_000, total_s=5.0, silence_s=1.0)
OK = b"HTTP/1.1 200 OK\r\n"

_Value = TypeVar("_Value")


def with_server(
    answers: dict[str, Answer],
    work: Callable[[HostileServer, Fetcher], Awaitable[_Value]],
    limits: FetchLimits = QUICK,
    lookup: Lookup | None = None,
) -> _Value:
    """The server is the only thing inside that may be reached."""

    async def run() -> _Value:
        async with hostile_server(answers) as server:
            rule = AddressRule(exceptions=frozenset({Endpoint("127.0.0.1", server.port)}))
            async with open_fetcher(rule, limits, lookup) as fetcher:
                return await work(server, fetcher)

    return asyncio.run(run())


def refused(answers: dict[str, Answer], path: str = "/", limits: FetchLimits = QUICK) -> tuple[FetchError, int]:
    """The error, and how many bytes the server got rid of."""

    async def work(server: HostileServer, fetcher: Fetcher) -> tuple[FetchError, int]:
        with pytest.raises(FetchError) as error:
            await fetcher.fetch(f"{server.url}{path}")
        return error.value, server.sent_bytes

    return with_server(answers, work, limits)


NO_URLS = {
    "": "found the scheme ''",
    "cat.jpg": "found the scheme ''",
    "//example.org/cat.jpg": "found the scheme ''",
    "file:///etc/passwd": "found the scheme 'file'",
    "ftp://example.org/cat.jpg": "found the scheme 'ftp'",
    "gopher://127.0.0.1:6379/_FLUSHALL": "found the scheme 'gopher'",
    "data:image/png;base64,AAAA": "found the scheme 'data'",
    "javascript:alert(1)": "found the scheme 'javascript'",
    "http:///cat.jpg": "url: ",
    "http://": "url: ",
    "http://user@example.org/": "user name or password",
    "http://user:secret@example.org/": "user name or password",
    "http://:@example.org/": "user name or password",
    "http://example.org@127.0.0.1/": "user name or password",
    "http://example.org\\@127.0.0.1/": "a character",
    "http://127.0.0.1\r\nHost: example.org/": "a character",
    "http://example.org/\x00": "a character",
    "http://exa mple.org/": "a character",
    "http://example.org:99999/": "url: ",
    "http://example.org:http/": "url: ",
    "http://[::1": "url: ",
    "http://" + "a" * 2100: "2107 characters",
}


@pytest.mark.parametrize("url", NO_URLS)
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(FetchError, match=NO_URLS[url]) as error:
        checked_url(url)
    assert error.value.status == 400 and str(error.value).startswith("url: ")


INSIDE = {
    "http://127.0.0.1/": 403,
    "http://localhost/": 403,
    "https://127.0.0.1/": 403,
    "http://[::1]/": 403,
    "http://[::ffff:127.0.0.1]/": 403,
    "http://[::ffff:7f00:1]/": 403,
    "http://[64:ff9b::7f00:1]/": 403,
    "http://[2002:7f00:1::]/": 403,
    "http://[fe80::1%25lo]/": 403,
    "http://169.254.169.254/latest/meta-data/": 403,
    "http://[fd00:ec2::254]/latest/meta-data/": 403,
    "http://10.0.0.1/": 403,
    "http://0.0.0.0/": 403,
    "http://224.0.0.1/": 403,
    "http://255.255.255.255/": 403,
    "http://127.1/": 400,
    "http://2130706433/": 400,
    "http://0x7f000001/": 403,
    "http://0x7f.0.0.1/": 403,
    "http://0177.0.0.1/": 400,
    "http://017700000001/": 400,
    "http://127.0.0.1.:80/": 400,
    "http://\N{CIRCLED DIGIT ONE}\N{CIRCLED DIGIT TWO}\N{CIRCLED DIGIT SEVEN}.0.0.1/": 403,
    "http://127\N{IDEOGRAPHIC FULL STOP}0\N{IDEOGRAPHIC FULL STOP}0\N{IDEOGRAPHIC FULL STOP}1/": 403,
    "http://8.8.8.8:22/": 403,
    "http://[2606:4700:4700::1111]:6379/": 403,
}


@pytest.mark.parametrize("url", INSIDE)
def test_what_is_not_connected_to(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(self: socket.socket, address: Any) -> None:
        raise AssertionError(f"a connection to {address}")

    async def run() -> FetchError:
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(loop, "sock_connect", never)
        async with open_fetcher(AddressRule(), QUICK) as fetcher:
            with pytest.raises(FetchError) as error:
                await fetcher.fetch(url)
            return error.value

    found = asyncio.run(run())
    assert found.status == INSIDE[url], str(found)


def test_a_picture_comes_whole_and_nothing_of_ours_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    body = bytes(range(256)) * 500
    answers = {"/a?b=c": picture(body, headers="Set-Cookie: who=you\r\n"), "/again": picture(b"x", "text/html")}

    async def work(server: HostileServer, fetcher: Fetcher) -> None:
        assert await fetcher.fetch(f"{server.url}/a?b=c#fragment") == body
        assert await fetcher.fetch(f"{server.url}/again") == b"x"
        assert server.paths() == ["/a?b=c", "/again"]
        names = [line.split(b":")[0].lower() for head in server.requests for line in head.split(b"\r\n")[1:-2]]
        assert set(names) == {b"host", b"accept", b"accept-encoding", b"user-agent"}

    with_server(answers, work)


REDIRECTS = {
    "file:///etc/passwd": 403,
    "http://169.254.169.254/latest/meta-data/": 403,
    "//169.254.169.254/": 403,
    "http://127.0.0.1:1/": 403,
    "http://[::1]/": 403,
    "http://localhost/": 403,
    "http://user:secret@example.org/": 403,
    "http://8.8.8.8:25/": 403,
    "http://0x7f000001/": 403,
    "gopher://127.0.0.1/": 403,
    "": 502,  # To itself.
    "http://[": 502,
}


@pytest.mark.parametrize("location", REDIRECTS)
def test_redirects_are_checked_anew(location: str) -> None:
    error, _ = refused({"/": redirect(location)})
    assert error.status == REDIRECTS[location], str(error)


def test_redirects_are_followed_and_counted() -> None:
    answers = {f"/{n}": redirect(f"/{n + 1}", status) for n, status in enumerate([301, 302, 303, 307, 308])}

    async def follow(server: HostileServer, fetcher: Fetcher) -> bytes:
        return await fetcher.fetch(f"{server.url}/0")

    assert with_server({**answers, "/5": picture(b"there")}, follow) == b"there"
    error, _ = refused({**answers, "/5": redirect("/6"), "/6": picture(b"too far")}, "/0")
    assert error.status == 502 and "more than 5 redirects" in str(error)
    error, _ = refused({"/": redirect("/")})
    assert "more than 5 redirects" in str(error)


BOMB = gzip.compress(b"\0" * 10_000_000)
HOSTILE = {
    "a body that says it is too large": (plain(OK + b"Content-Length: 999999999\r\n\r\n"), 413),
    "an endless body": (endless(OK + b"\r\n", b"x" * 65536), 413),
    "endless chunks": (endless(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b"x" * 65536 + b"\r\n"), 413),
    "a gzip bomb": (picture(BOMB, headers="Content-Encoding: gzip\r\n"), 502),
    "endless headers": (endless(OK, b"X: " + b"y" * 1000 + b"\r\n"), 502),
    "one endless header": (endless(OK + b"X: ", b"y" * 65536), 502),
    "no answer": (endless(b"", b"", 0.05), 502),
    "a body that stops": (endless(OK + b"Content-Length: 100\r\n\r\n", b"", 0.05), 502),
    "a body that is too short": (plain(OK + b"Content-Length: 100\r\n\r\n", b"x"), 502),
    "a slow body": (endless(OK + b"\r\n", b"x", 0.1), 502),
    "slow headers": (endless(OK, b"X: y\r\n", 0.1), 502),
    "something else than HTTP": (plain(b"SSH-2.0-OpenSSH_9.2\r\n"), 502),
    "nothing": (plain(b""), 502),
    "not found": (plain(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"), 502),
    "a negative length": (plain(OK + b"Content-Length: -1\r\n\r\n"), 502),
    "two lengths": (plain(OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"), 502),
    "endless continuing": (endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), 502),
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_servers(what: str) -> None:
    answer, status = HOSTILE[what]
    limits = replace(QUICK, total_s=1.0, silence_s=0.3)
    error, sent_bytes = refused({"/": answer}, limits=limits)
    assert error.status == status, str(error)
    assert sent_bytes < 20_000_000  # What the sockets hold, at most.


def test_a_name_is_asked_for_once() -> None:
    asked: list[str] = []

    async def work(server: HostileServer, fetcher: Fetcher) -> None:
        url = f"http://rebinding.example:{server.port}/"
        assert await fetcher.fetch(url) == b"first"
        assert asked == ["rebinding.example"]
        with pytest.raises(FetchError, match="not a public one") as error:
            await fetcher.fetch(url)
        assert error.value.status == 403 and len(asked) == 2 and len(server.requests) == 1

    async def lookup(host: str, port: int) -> list[tuple[Any, ...]]:
        asked.append(host)
        address = "127.0.0.1" if len(asked) == 1 else "169.254.169.254"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    closing = {"/": plain(OK + b"Connection: close\r\nContent-Length: 5\r\n\r\nfirst")}
    with_server(closing, work, lookup=lookup)


def test_one_address_inside_is_one_too_many() -> None:
    async def lookup(host: str, port: int) -> list[tuple[Any, ...]]:
        addresses = ("127.0.0.1", "10.0.0.1")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    async def work(server: HostileServer, fetcher: Fetcher) -> None:
        with pytest.raises(FetchError, match="two.example is not connected to: its address is not a public one"):
            await fetcher.fetch(f"http://two.example:{server.port}/")
        assert not server.requests

    with_server({"/": picture(b"inside")}, work, lookup=lookup)


def test_who_is_not_there() -> None:
    async def work(server: HostileServer, fetcher: Fetcher) -> None:
        with pytest.raises(FetchError, match="the name nowhere.invalid was not found") as error:
            await fetcher.fetch("http://nowhere.invalid/")
        assert error.value.status == 502

    async def lookup(host: str, port: int) -> list[tuple[Any, ...]]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with_server({}, work, lookup=lookup)


def test_a_port_where_nobody_listens() -> None:
    async def run() -> None:
        with socket.create_server(("127.0.0.1", 0)) as bound:
            port = bound.getsockname()[1]
        async with open_fetcher(AddressRule(exceptions=frozenset({Endpoint("127.0.0.1", port)}))) as fetcher:
            with pytest.raises(FetchError, match="can't be connected to") as error:
                await fetcher.fetch(f"http://127.0.0.1:{port}/")
            assert error.value.status == 502

    asyncio.run(run())


@pytest.mark.parametrize("limits", [replace(QUICK, at_once=1), replace(QUICK, at_once_to_one_host=1)])
def test_the_time_of_a_file_begins_when_it_is_its_turn(limits: FetchLimits) -> None:
    """All of them together take longer than one may."""

    async def slow() -> AsyncIterator[bytes]:
        await asyncio.sleep(0.3)
        yield OK + b"Content-Length: 1\r\n\r\nx"

    async def work(server: HostileServer, fetcher: Fetcher) -> None:
        found = await asyncio.gather(*(fetcher.fetch(f"{server.url}/") for _ in range(8)))
        assert found == [b"x"] * 8

    with_server({"/": slow}, work, replace(limits, total_s=2.0, silence_s=2.0))
