# SPDX-License-Identifier: Apache-2.0
"""What is still open at the end of the program is closed then, while its threads can still run Python."""

from __future__ import annotations

import atexit
import os
import weakref
from typing import Protocol

from splitnet import _core


class Closable(Protocol):
    """A session or a worker."""

    def close(self) -> None:
        """Idempotent."""


_process = os.getpid()
_open: weakref.WeakSet[Closable] = weakref.WeakSet()


def close_at_exit(opened: Closable) -> None:
    """Unless it is closed, or gone, before."""
    _open.add(opened)


@atexit.register
def _close_all() -> None:
    if os.getpid() != _process:
        return  # A fork: the threads that would have to end are those of the other process.
    for one in list(_open):
        one.close()
    _core.wait_for_background()
