# SPDX-License-Identifier: Apache-2.0
"""Whether the caller may wait."""

from __future__ import annotations

import asyncio


def in_event_loop() -> bool:
    """Whether this thread runs an event loop, which a caller that waits would stop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
