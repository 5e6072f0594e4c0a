# SPDX-License-Identifier: Apache-2.0
"""What can go wrong, sorted by what the caller should do next.

Everything that the library raises is an `Error`. Where Python has a class of its own for such a failure, the exception
is one of those too, so that ``except TimeoutError`` works.
"""

from __future__ import annotations

__all__ = [
    "Cancelled",
    "Corrupt",
    "DeadlineExceeded",
    "Error",
    "Incompatible",
    "Internal",
    "InvalidArgument",
    "Overloaded",
    "TooLarge",
    "Unauthenticated",
    "Unavailable",
    "UnsupportedModel",
    "from_code",
]


class Error(Exception):
    """The base of all errors of the library. ``str()`` names the thing, what was found and what was expected."""

    code: str = "internal"

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        #: Seconds after which it makes sense to try again, as whoever refused sees it; None when nobody said.
        self.retry_after_s = retry_after_s


class InvalidArgument(Error, ValueError):
    """The call is wrong: mend it."""

    code = "invalid_argument"


class UnsupportedModel(Error):
    """This model can't be cut so, or not at all: use another or run it whole."""

    code = "unsupported_model"


class Incompatible(Error):
    """Version, fingerprint or cut of another model: update one side."""

    code = "incompatible"


class Corrupt(Error):
    """Bytes are damaged: do not use them."""

    code = "corrupt"


class TooLarge(Error):
    """Over a limit: send less or raise the limit."""

    code = "too_large"


class Unauthenticated(Error, PermissionError):
    """Token or certificate refused."""

    code = "unauthenticated"


class Overloaded(Error):
    """Back off, then try again: `retry_after_s` says when, where it is known."""

    code = "overloaded"


class Unavailable(Error, ConnectionError):
    """The peer is gone: retry elsewhere."""

    code = "unavailable"


class DeadlineExceeded(Error, TimeoutError):
    """Too late: the answer is of no use any more."""

    code = "deadline_exceeded"


class Internal(Error):
    """A fault of splitnet or of the machine."""

    code = "internal"


class Cancelled(Error):
    """The caller asked for it."""

    code = "cancelled"


_BY_CODE: dict[str, type[Error]] = {
    kind.code: kind
    for kind in (
        InvalidArgument,
        UnsupportedModel,
        Incompatible,
        Corrupt,
        TooLarge,
        Unauthenticated,
        Overloaded,
        Unavailable,
        DeadlineExceeded,
        Internal,
        Cancelled,
    )
}


def from_code(code: str, message: str, retry_after_s: float | None = None) -> Error:
    """The error of this code; for an unknown one an `Internal`."""
    return _BY_CODE.get(code, Internal)(message, retry_after_s)
