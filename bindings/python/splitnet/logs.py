# SPDX-License-Identifier: Apache-2.0
"""What workers and listeners have to say, into `logging`."""

from __future__ import annotations

import logging
from collections.abc import Callable

from splitnet import _core

_LEVELS = {
    _core.LogLevel.debug: logging.DEBUG,
    _core.LogLevel.info: logging.INFO,
    _core.LogLevel.warning: logging.WARNING,
    _core.LogLevel.error: logging.ERROR,
}


def log_to(logger: logging.Logger | None = None) -> Callable[[_core.LogRecord], None]:
    """A sink for `WorkerOptions.log` and `ListenOptions.log`, by default into the logger "splitnet".

    Facts of a record are in its text, and as a dict in `record.fields`.
    """
    target = logger or logging.getLogger("splitnet")

    def sink(record: _core.LogRecord) -> None:
        level = _LEVELS[record.level]
        if target.isEnabledFor(level):
            facts = " ".join(f"{name}={value!r}" for name, value in record.fields.items())
            target.log(level, "%s", f"{record.message} {facts}".rstrip(), extra={"fields": record.fields})

    return sink
