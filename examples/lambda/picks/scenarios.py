# SPDX-License-Identifier: Apache-2.0
"""What the planner is asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import splitnet


@dataclass(frozen=True)
class Link:
    """One that `shaped://` models, so its rate and delay are known."""

    name: str
    up_bit_per_s: float
    down_bit_per_s: float
    delay_s: float  #: One way.

    def endpoint(self, function: str) -> str:
        options = f"up={self.up_bit_per_s:.0f}bit,down={self.down_bit_per_s:.0f}bit,delay={self.delay_s * 1e3:g}ms"
        return f"shaped://{options}@lambda://{function}"

    def profile(self, behind: splitnet.LinkProfile) -> splitnet.LinkProfile:
        """`behind`: what the way to the function is without it. One after the other, times for each byte add up."""

        def together(bit_per_s: float, bytes_per_s: float) -> float:
            return 1 / (8 / bit_per_s + 1 / bytes_per_s)

        return behind.replace(
            rtt_s=behind.rtt_s + 2 * self.delay_s,
            up_bytes_per_s=together(self.up_bit_per_s, behind.up_bytes_per_s),
            down_bytes_per_s=together(self.down_bit_per_s, behind.down_bytes_per_s),
        )


@dataclass(frozen=True)
class Placement:
    """One way to run the network."""

    link: str  #: By name; empty: device only.
    memory_megabytes: int  #: Of the function; 0: device only.
    head_layers: int
    codec: str = "raw"

    @property
    def is_remote(self) -> bool:
        return self.memory_megabytes > 0


@dataclass(frozen=True)
class Scenario:
    """The fastest plan is wanted."""

    link: Link
    cold_start_probability: int  #: 0 or 1.
    sizes: tuple[int, ...]  #: On offer, in MB.
    max_dollars: float | None = None

    def name(self) -> str:
        sizes = "/".join(str(size) for size in self.sizes)
        bound = "" if self.max_dollars is None else f", at most {self.max_dollars * 1e6:.2f} $/million"
        return f"{self.link.name}, {'cold' if self.cold_start_probability else 'hot'}, {sizes} MB{bound}"

    def offers(self, placement: Placement) -> bool:
        return not placement.is_remote or (
            placement.link == self.link.name and placement.memory_megabytes in self.sizes
        )

    def within(self, max_dollars: float) -> Scenario:
        return replace(self, max_dollars=max_dollars)


def free_scenarios(links: Sequence[Link], sizes: Sequence[int]) -> Iterator[Scenario]:
    """Without a limit: every link, hot and cold, each size by itself and all on offer."""
    for link in links:
        for probability in (0, 1):
            for offer in (*((size,) for size in sizes), tuple(sizes)):
                yield Scenario(link, probability, offer)


LOOSE, TIGHT = 1.25, 0.8


def limits_around(dollars: float) -> list[float]:
    """For a pick that is predicted to cost so much: a limit that it keeps to, and one that it does not.

    The first one tells when dollars are predicted too low, the second one has to change the pick. None for what is free.
    """
    return [LOOSE * dollars, TIGHT * dollars] if dollars > 0 else []
