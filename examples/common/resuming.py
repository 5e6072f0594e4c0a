# SPDX-License-Identifier: Apache-2.0
"""What a service had not done when it ended: gone on with after its next start, beside what is asked then."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from common.aws_client import AWS_ERRORS
from common.pauses import pauses_s

_FIRST_PAUSE_S = 0.2


@dataclass(frozen=True)
class Resuming:
    """How. One that AWS refuses is tried again, with pauses; one that can't be read stops nothing, and is left alone."""

    at_once: int  #: Whoever asks meanwhile gets an answer too.
    longest_pause_s: float
    tried: str  #: What the log calls the one `{}`, where it is tried again,
    read: str  #: and where it can't be read.
    say: Callable[[str], None]  #: To the log.

    def start(self, identifiers: Iterable[str], go_on: Callable[[str], Awaitable[object]]) -> list[asyncio.Task[None]]:
        """One task for each, which ends when `go_on` has. Whoever closes the service cancels them. `go_on` raises AWS_ERRORS,
        and KeyError, TypeError, ValueError: it can't be read."""
        places = asyncio.Semaphore(self.at_once)
        return [asyncio.create_task(self._one(identifier, go_on, places)) for identifier in identifiers]

    async def _one(self, identifier: str, go_on: Callable[[str], Awaitable[object]], places: asyncio.Semaphore) -> None:
        pauses = pauses_s(_FIRST_PAUSE_S, self.longest_pause_s)
        while True:
            try:
                async with places:
                    await go_on(identifier)
                return
            except AWS_ERRORS as error:
                self.say(f"{self.tried.format(identifier)}: {error}; it is looked at again")
            except (KeyError, TypeError, ValueError) as error:
                self.say(f"{self.read.format(identifier)} can't be read, and stays as it is: {error!r}")
                return
            await asyncio.sleep(next(pauses))
