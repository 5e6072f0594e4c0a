# SPDX-License-Identifier: Apache-2.0
"""A way for a picture to be answered: by the local server, through S3, or split."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from detection.boxes import Detection


class PictureRefused(Exception):
    """The other side says that this is no picture that it takes, and why. Others may be fine."""


class NotAnswered(Exception):
    """There is no answer, and why."""


@dataclass(frozen=True)
class Outcome:
    """The answer to one picture."""

    objects: list[Detection]
    times_s: dict[str, float]  #: What took how long, by name, in the order in which tables show it.
    steps: dict[str, Any] = field(default_factory=dict)  #: The server's details, as its JSON has them.


class Route(Protocol):
    """Answers pictures, one after the other."""

    def send(self, name: str, data: bytes) -> Outcome:
        """A picture file's name and bytes. Raises PictureRefused, NotAnswered."""
