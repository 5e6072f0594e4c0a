# SPDX-License-Identifier: Apache-2.0
"""What may go wrong when Ray is asked for something, before it has taken it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import ray

from splitnet.errors import Unavailable


@contextlib.contextmanager
def asking_ray(what: str) -> Iterator[None]:
    """Around each `remote`, `ray.put` and the like. Raises Unavailable: Ray has ended, and would begin anew by itself; or
    whatever it raises, say that its object store is full."""
    if not ray.is_initialized():
        raise Unavailable(f"{what}: Ray has ended")
    try:
        yield
    except Exception as error:
        raise Unavailable(f"{what}: {type(error).__name__}: {error}") from None
