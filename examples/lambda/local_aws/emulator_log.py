# SPDX-License-Identifier: Apache-2.0
"""What the emulator's debug log says about one call. It is written before the call is answered."""

from __future__ import annotations

import re
from dataclasses import dataclass

_REQUEST_ID = re.compile(rb"START RequestId: ([0-9a-f-]{36})")
_INIT = re.compile(rb"INIT REPORT\(durationMs: ([0-9.]+)")
_DONE = re.compile(rb"INVOKE RTDONE\(status: \w+, .*?duration: ([0-9.]+)ms")
_ERROR = re.compile(rb"API request - POST /2018-06-01/runtime/(?:invocation/[0-9a-f-]{36}|init)/error,")
_EXIT = re.compile(rb"Process runtime-\d+ exited: ([^\n]+)")


@dataclass(frozen=True)
class Seen:
    """Of one call."""

    request_id: str
    init_s: float | None
    """From the start of the runtime's process until it asked for an invocation; None: it was there before."""
    run_s: float | None
    """From handing over the event until the runtime asked for the next one; None: it didn't get so far."""
    posted_error: bool
    """The runtime has reported an error: of the invocation, or of its initialisation."""
    exit: str | None
    """`exit status 3` or `signal: killed`, when the runtime has ended by itself."""
    timed_out: bool


def read_log(text: bytes) -> Seen:
    request_id, ended = _REQUEST_ID.search(text), _EXIT.search(text)
    return Seen(
        request_id=request_id[1].decode() if request_id else "",
        init_s=_seconds(_INIT, text),
        run_s=_seconds(_DONE, text),
        posted_error=_ERROR.search(text) is not None,
        exit=ended[1].decode(errors="replace") if ended else None,
        timed_out=b"(rapid) Invoke() timeout" in text,
    )


def is_of_function(line: bytes) -> bool:
    """Whether it belongs in the function's log. The emulator's REPORT line has neither real times nor memory."""
    return b"(rapid)" not in line and not line.startswith(b"REPORT RequestId")


def _seconds(pattern: re.Pattern[bytes], text: bytes) -> float | None:
    found = pattern.search(text)
    return float(found[1]) / 1e3 if found else None
