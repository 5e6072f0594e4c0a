# SPDX-License-Identifier: Apache-2.0
"""The transports that are used where none are given."""

from __future__ import annotations

import functools

from splitnet import _core


@functools.cache
def default_registry() -> _core.TransportRegistry:
    """One for the process, so that an `inproc://` worker is found by the sessions beside it."""
    return _core.TransportRegistry()


def connect_options(token: str) -> _core.ConnectOptions:
    """What a session or a planner shows to workers; an empty token shows nothing."""
    return _core.ConnectOptions(token=token)
