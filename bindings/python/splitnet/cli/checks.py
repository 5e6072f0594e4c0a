# SPDX-License-Identifier: Apache-2.0
"""What a check of `splitnet doctor` found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Check:
    """One line of the doctor's."""

    name: str
    status: Literal["ok", "warn", "fail"]
    found: str
    next_step: str = ""  #: What to try; empty where all is well.

    def facts(self) -> dict[str, Any]:
        """For `--json`."""
        return {"name": self.name, "status": self.status, "found": self.found, "try": self.next_step or None}


def ok(name: str, found: str) -> Check:
    """All is well."""
    return Check(name, "ok", found)


def warn(name: str, found: str, next_step: str) -> Check:
    """It works, but not as well as it could."""
    return Check(name, "warn", found, next_step)


def fail(name: str, found: str, next_step: str = "") -> Check:
    """It does not work."""
    return Check(name, "fail", found, next_step)
