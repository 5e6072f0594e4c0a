# SPDX-License-Identifier: Apache-2.0
"""Fetches what is at a stranger's URL, without becoming the stranger's hand inside.

A host is resolved once, all its addresses are checked, and the connection goes to one of these: there is no second
resolution that could say something else. Each redirect is a new URL and starts from the beginning. The last line is the
function that makes sockets, which makes none for an address that the rule refuses, whoever asks for it.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any
from weakref import WeakValueDictionary

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from classify.addresses import AddressRule
from common.option_checks import expect_more_than_0

_REDIRECTS = {301, 302, 303, 307, 308}
_HEADERS = {"Accept": "image/*", "Accept-Encoding": "identity", "User-Agent": "splitnet-classify"}
_RESOLVERS = 16  #: Names that are looked up at once; slow name servers hold up nobody else but names.

#: (host, port) to what getaddrinfo gives.
Lookup = Callable[[str, int], Awaitable[list[tuple[Any, ...]]]]

#: Is told of so many bytes before they are kept. May raise FetchError: there is no room.
Take = Callable[[int], None]


@dataclass(frozen=True)
class FetchLimits:
    """Of one fetch, its redirects included. Raises ValueError naming the field that is not more than 0."""

    url_characters: int = 2048
    body_bytes: int = 20 * 2**20
    redirects: int = 5
    total_s: float = 20.0  #: Once it is its turn.
    connect_s: float = 5.0
    silence_s: float = 5.0  #: The longest time without a byte.
    at_once: int = 64  #: Fetches; others wait for their turn.
    at_once_to_one_host: int = 16  #: Of these; connections likewise, where redirects lead to it.

    def __post_init__(self) -> None:
        expect_more_than_0(self)


class FetchError(Exception):
    """There is no file; says why, for whoever gave the URL, with the HTTP status that says it too."""

    def __init__(self, status: HTTPStatus, words: str) -> None:
        super().__init__(words)
        self.status = status


class _ForbiddenError(OSError):
    """The rule refuses the address. An OSError, for which aiohttp clears up."""


class _Resolver(AbstractResolver):
    """Gives addresses that were checked, or none."""

    def __init__(self, rule: AddressRule, lookup: Lookup) -> None:
        self._rule = rule
        self._lookup = lookup

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._lookup(host, port)
        for *_, address in found:
            if why := self._rule.refusal(address[0], port):
                raise _ForbiddenError(why)
        return [
            ResolveResult(
                hostname=host,
                host=address[0],
                port=port,
                family=kind,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, protocol, _, address in found
        ]

    async def close(self) -> None:
        pass


class Fetcher:
    """Belongs to an event loop, in which it is made with `open_fetcher`."""

    def __init__(self, session: aiohttp.ClientSession, limits: FetchLimits) -> None:
        self._session = session
        self._limits = limits
        self._turns = asyncio.Semaphore(limits.at_once)
        self._hosts: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()  # In use.

    async def fetch(self, url: str, take: Take = lambda _: None) -> bytes:
        """The bytes that are there, whatever they are. Raises FetchError."""
        target = checked_url(url, self._limits.url_characters)
        host = self._hosts.setdefault(str(target.host), asyncio.Semaphore(self._limits.at_once_to_one_host))
        async with host, self._turns:
            try:
                async with asyncio.timeout(self._limits.total_s):
                    return await self._follow(target, take)
            except TimeoutError:
                raise _bad(f"the file was not there within {self._limits.total_s:g} s") from None

    async def _follow(self, target: URL, take: Take) -> bytes:
        for _ in range(self._limits.redirects + 1):
            found = await self._get(target, take)
            if isinstance(found, bytes):
                return found
            target = found
        raise _bad(f"found more than {self._limits.redirects} redirects")

    async def _get(self, target: URL, take: Take) -> bytes | URL:
        """The file, or where else it is."""
        try:
            async with self._session.get(target, allow_redirects=False) as answer:
                if answer.status in _REDIRECTS:
                    return self._redirected(target, answer.headers.get("Location", ""))
                if answer.status != HTTPStatus.OK:
                    raise _bad(f"{target.host} answered {answer.status}, expected 200")
                return await self._body(answer, take)
        except aiohttp.InvalidURL as error:
            raise _no_url(_first_line(error)) from None
        except OSError as error:  # aiohttp's errors of connecting among them.
            raise _unreachable(target, error) from None
        except (aiohttp.ClientError, ValueError) as error:
            raise _bad(f"{target.host} did not answer as HTTP has it: {_first_line(error)}") from None

    def _redirected(self, target: URL, location: str) -> URL:
        try:
            there = target.join(URL(location))
        except ValueError:
            raise _bad("found a redirect to something that is no URL") from None
        try:
            return checked_url(str(there), self._limits.url_characters)
        except FetchError as error:
            raise FetchError(HTTPStatus.FORBIDDEN, f"found a redirect that is not followed: {error}") from None

    async def _body(self, answer: aiohttp.ClientResponse, take: Take) -> bytes:
        encoding = answer.headers.get("Content-Encoding", "identity")
        if encoding.lower() != "identity":
            raise _bad(f"found the content encoding {encoding[:40]!r}, expected none, as was asked for")
        most = self._limits.body_bytes
        if (answer.content_length or 0) > most:
            raise self._too_large(f"{answer.content_length} bytes")
        body = bytearray()
        async for chunk in answer.content.iter_any():
            if len(body) + len(chunk) > most:
                raise self._too_large("more")
            take(len(chunk))
            body += chunk
        return bytes(body)

    def _too_large(self, found: str) -> FetchError:
        words = f"the file has {found}, expected at most {self._limits.body_bytes} bytes"
        return FetchError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, words)


def checked_url(text: str, most_characters: int = FetchLimits.url_characters) -> URL:
    """Raises FetchError: it is none that is fetched, whatever it leads to."""
    if len(text) > most_characters:
        raise _no_url(f"found {len(text)} characters, expected at most {most_characters}")
    if any(not character.isprintable() or character in ' \\"<>' for character in text):
        raise _no_url("found a character that URLs don't have")
    try:
        url = URL(text)
        port = url.port
    except ValueError as error:
        raise _no_url(_first_line(error)) from None
    if url.scheme not in ("http", "https"):
        raise _no_url(f"found the scheme {url.scheme[:40]!r}, expected http or https")
    if not url.host or not port:
        raise _no_url("found no host, expected one, as in https://example.org/cat.jpg")
    if url.user is not None or url.password is not None:
        raise _no_url("found a user name or password, expected none")
    return url.with_fragment(None)


@asynccontextmanager
async def open_fetcher(
    rule: AddressRule, limits: FetchLimits | None = None, lookup: Lookup | None = None
) -> AsyncIterator[Fetcher]:
    """`lookup` is getaddrinfo, unless told otherwise. Without cookies; what the environment says of proxies is not heard."""
    limits = limits or FetchLimits()
    threads = ThreadPoolExecutor(_RESOLVERS, "resolve")
    connector = aiohttp.TCPConnector(
        resolver=_Resolver(rule, lookup or partial(_getaddrinfo, threads)),
        use_dns_cache=False,
        socket_factory=partial(_socket, rule),
        limit=0,  # Whoever has its turn gets a connection.
        limit_per_host=limits.at_once_to_one_host,
    )
    try:
        async with aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            headers=_HEADERS,
            skip_auto_headers=["User-Agent"],
            timeout=aiohttp.ClientTimeout(sock_connect=limits.connect_s, sock_read=limits.silence_s),
        ) as session:
            yield Fetcher(session, limits)
    finally:
        threads.shutdown(wait=False, cancel_futures=True)


async def _getaddrinfo(threads: ThreadPoolExecutor, host: str, port: int) -> list[tuple[Any, ...]]:
    look = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    return list(await asyncio.get_running_loop().run_in_executor(threads, look))


def _socket(rule: AddressRule, info: tuple[Any, ...]) -> socket.socket:
    family, kind, protocol, _, address = info
    if why := rule.refusal(address[0], address[1]):
        raise _ForbiddenError(why)
    made = socket.socket(family, kind, protocol)
    made.setblocking(False)
    return made


def _unreachable(target: URL, error: OSError) -> FetchError:
    causes: list[BaseException | None] = [error, error.__cause__, error.__context__, getattr(error, "os_error", None)]
    for cause in causes:
        if isinstance(cause, _ForbiddenError):
            return FetchError(HTTPStatus.FORBIDDEN, f"{target.host} is not connected to: {cause}")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return _bad(f"the name {target.host} was not found")
    if isinstance(error, ssl.SSLError | aiohttp.ClientSSLError):
        return _bad(f"{target.host} has no certificate that is trusted")
    if isinstance(error, TimeoutError):
        return _bad(f"{target.host} was silent for too long")
    return _bad(f"{target.host} can't be connected to")


def _no_url(words: str) -> FetchError:
    return FetchError(HTTPStatus.BAD_REQUEST, f"url: {words}")


def _bad(words: str) -> FetchError:
    return FetchError(HTTPStatus.BAD_GATEWAY, words)


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:200]
