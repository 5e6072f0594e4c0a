# SPDX-License-Identifier: Apache-2.0
"""Mean, standard deviation, least and greatest, as the systems that the examples follow report them."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Summary:
    """Of some measurements, in their unit."""

    count: int
    mean: float
    deviation: float  #: Of the sample (divided by count - 1); 0 of a single measurement.
    least: float
    greatest: float

    @staticmethod
    def of(samples: Iterable[float]) -> Summary:
        """Raises ValueError: there are none."""
        values = list(samples)
        if not values:
            raise ValueError("found no measurements, expected at least one")
        deviation = statistics.stdev(values) if len(values) > 1 else 0.0
        return Summary(len(values), statistics.fmean(values), deviation, min(values), max(values))

    def text(self, scale: float = 1.0, digits: int | None = None) -> str:
        """`mean / SD / min / max`, each times `scale`; without `digits` one after the point, none from 100 on."""
        if digits is None:
            digits = 0 if abs(self.mean * scale) >= 100 else 1
        numbers = (self.mean, self.deviation, self.least, self.greatest)
        return " / ".join(f"{number * scale:.{digits}f}" for number in numbers)
