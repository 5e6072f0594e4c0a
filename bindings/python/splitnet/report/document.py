# SPDX-License-Identifier: Apache-2.0
"""A sweep as typed values. All numbers are SI."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from splitnet.names import DEVICE_ONLY, WORKER_ONLY

from . import units

SPLIT = "split"
RAW = "raw"


@dataclass(frozen=True)
class Times:
    """Where the time of one inference goes, in seconds."""

    head_s: float
    encode_s: float
    wire_s: float
    decode_s: float
    tail_s: float
    total_s: float


@dataclass(frozen=True)
class Row:
    """One plan on one link."""

    head_layers: int
    cut: str
    codec: str
    bytes_up: float
    predicted: Times
    measured: Times | None
    repetition_error: float  # Between the two halves of the measurements, relative; 0 where there are none.
    not_measured: str  # Why; empty: it was.

    @property
    def kind(self) -> str:
        return self.cut if self.cut in (DEVICE_ONLY, WORKER_ONLY) else SPLIT

    @property
    def latency_s(self) -> float:
        """As measured; as predicted where it was not."""
        return self.measured.total_s if self.measured else self.predicted.total_s

    @property
    def signed_error(self) -> float | None:
        """(predicted − measured) / measured, of the total; above 0 where the prediction was too long."""
        return self.predicted.total_s / self.measured.total_s - 1 if self.measured else None

    @property
    def codec_text(self) -> str:
        """For people; nothing is encoded on the device."""
        return "" if self.kind == DEVICE_ONLY else units.codec_text(self.codec)


@dataclass(frozen=True)
class Link:
    """All plans for one link."""

    index: int
    label: str  # Short, and no other link has it.
    worker: str
    rtt_s: float
    jitter_s: float
    overhead_s: float
    up_bytes_per_s: float
    down_bytes_per_s: float
    device_load_factor: float
    worker_load_factor: float
    rows: Sequence[Row]
    chosen: Row
    fastest: Row
    regret: float
    split_wins: bool

    @property
    def has_unmeasured(self) -> bool:
        return any(row.not_measured for row in self.rows)

    def baseline(self, kind: str, *, compressed: bool = False) -> Row | None:
        """Device only; or worker only, raw or with the best of the other codecs."""
        rows = [row for row in self.rows if row.kind == kind and (row.codec != RAW) == compressed]
        return _fastest(rows)

    def fastest_split(self) -> Row | None:
        return _fastest([row for row in self.rows if row.kind == SPLIT])


@dataclass(frozen=True)
class Machine:
    """What ran the device's or the worker's part."""

    machine: str
    framework: str
    threads: int
    load: float
    pass_s: float


@dataclass(frozen=True)
class CodecEffect:
    """What a codec does to the answers; agreement and its interval of 95 % as shares."""

    name: str
    cut: str
    ratio: float
    accuracy_loss: float
    agreement: float
    agreement_low: float
    agreement_high: float
    divergence_nat: float | None


@dataclass(frozen=True)
class MapCell:
    """The best plan by prediction at one bandwidth and speed ratio."""

    bandwidth_bit_per_s: float
    speed_ratio: float
    cut: str
    codec: str
    latency_s: float
    device_only_s: float
    worker_only_s: float

    @property
    def gain(self) -> float:
        """Share of time less than the better of device only and worker only takes."""
        return 1 - self.latency_s / min(self.device_only_s, self.worker_only_s)


@dataclass(frozen=True)
class MapRegion:
    """The cells in which one plan is best; pairs are the least and the largest."""

    cut: str
    codec: str
    cells: int
    bandwidth_bit_per_s: tuple[float, float]
    speed_ratio: tuple[float, float]
    gain: float  # The largest.


@dataclass(frozen=True)
class PlanMap:
    rtt_s: float
    cells: Sequence[MapCell]

    def regions(self) -> list[MapRegion]:
        """One for each plan, the largest first."""
        plans: dict[tuple[str, str], list[MapCell]] = {}
        for cell in self.cells:
            plans.setdefault((cell.cut, cell.codec), []).append(cell)
        regions = [_region(cut, codec, cells) for (cut, codec), cells in plans.items()]
        return sorted(regions, key=lambda region: region.cells, reverse=True)


@dataclass(frozen=True)
class FrontPoint:
    """A plan that no other beats in both latency and throughput, by prediction."""

    link: int
    cut: str
    codec: str
    latency_s: float
    throughput_per_s: float
    bytes_up: float
    accuracy_loss: float


@dataclass(frozen=True)
class Report:
    """All that the page tells."""

    model: str
    fingerprint: str
    layers: int
    inputs: str
    versions: Mapping[str, str]
    created: str
    interrupted: bool
    failure: str  #: What the worker was lost with; empty: it was not.
    device: Machine
    worker: Machine
    links: Sequence[Link]
    codecs: Sequence[CodecEffect]
    plan_map: PlanMap | None
    front: Sequence[FrontPoint]

    def measured_rows(self) -> Iterator[tuple[Link, Row]]:
        for link in self.links:
            for row in link.rows:
                if row.measured:
                    yield link, row


def _region(cut: str, codec: str, cells: Sequence[MapCell]) -> MapRegion:
    bandwidths = [cell.bandwidth_bit_per_s for cell in cells]
    ratios = [cell.speed_ratio for cell in cells]
    return MapRegion(
        cut=cut,
        codec=codec,
        cells=len(cells),
        bandwidth_bit_per_s=(min(bandwidths), max(bandwidths)),
        speed_ratio=(min(ratios), max(ratios)),
        gain=max(cell.gain for cell in cells),
    )


def _fastest(rows: Sequence[Row]) -> Row | None:
    """By measurement; by prediction only where none of them was measured."""
    candidates = [row for row in rows if row.measured] or rows
    return min(candidates, key=lambda row: row.latency_s, default=None)
