# SPDX-License-Identifier: Apache-2.0
"""How long to wait before what failed is tried again."""

from __future__ import annotations

import random
from collections.abc import Iterator


def pauses_s(first_s: float, longest_s: float) -> Iterator[float]:
    """Without end: twice as long each time, taken at random from half to one and a half of it, so that many don't come back at
    once."""
    pause_s = first_s
    while True:
        yield random.uniform(0.5, 1.5) * pause_s
        pause_s = min(2 * pause_s, longest_s)
