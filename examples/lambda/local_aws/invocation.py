# SPDX-License-Identifier: Apache-2.0
"""What is known of an invocation afterwards, and its line in the log."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Invocation:
    """One run of a function, as Lambda reports it."""

    request_id: str
    is_cold: bool
    init_s: float
    """Cold: from the start of the runtime's process until it asked for its first invocation; hot: 0."""
    duration_s: float
    """From handing over the event until the runtime was done; initialisation not counted."""
    memory_megabytes: int
    peak_memory_bytes: int
    """Highest resident size of the environment's processes so far, the sum over them."""
    error: str | None
    """`errorType: errorMessage`, what the function answered instead of a result."""

    @property
    def billed_s(self) -> float:
        """Duration rounded up to 1 ms; initialisation is billed too (always for custom runtimes and images, and since
        August 2025 for every function)."""
        return math.ceil(round((self.init_s + self.duration_s) * 1e3, 6)) / 1e3

    def report(self) -> str:
        """Lambda's REPORT line."""
        parts = [
            f"REPORT RequestId: {self.request_id}",
            f"Duration: {self.duration_s * 1e3:.2f} ms",
            f"Billed Duration: {round(self.billed_s * 1e3)} ms",
            f"Memory Size: {self.memory_megabytes} MB",
            f"Max Memory Used: {math.ceil(self.peak_memory_bytes / 2**20)} MB",
        ]
        if self.is_cold:
            parts.append(f"Init Duration: {self.init_s * 1e3:.2f} ms")
        return "\t".join(parts) + "\t"
