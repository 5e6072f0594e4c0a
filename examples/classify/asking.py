# SPDX-License-Identifier: Apache-2.0
"""Asks a server many things at once, as the experiments of the system that this example follows did."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp

_PATIENCE_S = 180.0  #: Longer than the server's own.


@dataclass(frozen=True)
class Question:
    """What does the model say of this picture?"""

    url: str
    model: str


@dataclass(frozen=True)
class Reply:
    """How it was answered."""

    status: int  #: 0: not at all.
    latency_s: float
    id: str = ""
    label: str = ""
    probability: float = 0.0
    error: str = ""


def ask_all(server: str, questions: Sequence[Question]) -> list[Reply]:
    """All at once, each by a connection of its own; the replies in the order of the questions."""
    return asyncio.run(_ask_all(server, questions))


async def _ask_all(server: str, questions: Sequence[Question]) -> list[Reply]:
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, force_close=True), timeout=aiohttp.ClientTimeout(_PATIENCE_S)
    ) as http:
        return list(await asyncio.gather(*(_ask(http, server, question) for question in questions)))


async def _ask(http: aiohttp.ClientSession, server: str, question: Question) -> Reply:
    begun_s = time.monotonic()
    try:
        asked = {"url": question.url, "model": question.model}
        async with http.get(f"{server}/classify", params=asked) as answer:
            found = await answer.json()
    except (aiohttp.ClientError, TimeoutError) as error:
        return Reply(0, time.monotonic() - begun_s, error=str(error) or type(error).__name__)
    return Reply(
        answer.status,
        time.monotonic() - begun_s,
        found.get("id", ""),
        found.get("label", ""),
        found.get("probability", 0.0),
        found.get("error", ""),
    )


def stored_labels(server: str, replies: Sequence[Reply]) -> list[str]:
    """What is kept of each, in their order; empty: nothing."""
    return asyncio.run(_stored_labels(server, replies))


async def _stored_labels(server: str, replies: Sequence[Reply]) -> list[str]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=16)) as http:
        return list(await asyncio.gather(*(_stored_label(http, server, reply) for reply in replies)))


async def _stored_label(http: aiohttp.ClientSession, server: str, reply: Reply) -> str:
    async with http.get(f"{server}/results/{reply.id}") as answer:
        label: str = (await answer.json()).get("label", "")
        return label
