# SPDX-License-Identifier: Apache-2.0
"""From the JSON document of `splitnet sweep --json` to typed values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from . import units
from .document import CodecEffect, FrontPoint, Link, Machine, MapCell, PlanMap, Report, Row, Times
from .fields import Fields

SCHEMA_VERSION = 1


def read(document: Mapping[str, Any]) -> Report:
    """Raises ValueError with one sentence: what was found where, and what was expected."""
    root = Fields(document, "document")
    _check_version(root)
    model, sweep = root.fields("model"), root.fields("sweep")
    _check_version(sweep)
    links = _read_links(sweep)
    return Report(
        model=model.text("name"),
        fingerprint=model.text("fingerprint"),
        layers=model.integer("layers"),
        inputs=model.text("inputs"),
        versions=root.fields("versions").texts(),
        created=root.text("created"),
        interrupted=root.boolean("interrupted"),
        failure=sweep.text("failure"),
        device=_read_machine(sweep.fields("device")),
        worker=_read_machine(sweep.fields("worker")),
        links=links,
        codecs=[_read_codec(codec) for codec in root.items("codecs")],
        plan_map=_read_map(root),
        front=[_read_front_point(point, len(links)) for point in root.items("pareto")],
    )


def _check_version(fields: Fields) -> None:
    version = fields.integer("schema_version")
    if version != SCHEMA_VERSION:
        raise ValueError(f"{fields.where}.schema_version is {version}, expected {SCHEMA_VERSION}")


def _read_links(sweep: Fields) -> list[Link]:
    found = sweep.items("links")
    if not found:
        raise ValueError(f"{sweep.where}.links has none, expected at least one link")
    labels = _distinct([_link_label(link.fields("link")) for link in found])
    return [_read_link(index, label, fields) for index, (label, fields) in enumerate(zip(labels, found, strict=True))]


def _link_label(profile: Fields) -> str:
    up, down = (8e-6 * profile.positive(key) for key in ("up_bytes_per_s", "down_bytes_per_s"))
    up_text, down_text = units.significant(up, 2), units.significant(down, 2)
    both = up_text if up_text == down_text else f"{up_text}/{down_text}"
    return f"{both} Mbit/s, {units.time_text(profile.number('rtt_s'), digits=2)}"


def _distinct(labels: Sequence[str]) -> list[str]:
    return [f"{label} (link {index + 1})" if labels.count(label) > 1 else label for index, label in enumerate(labels)]


def _read_link(index: int, label: str, fields: Fields) -> Link:
    rows = [_read_row(row) for row in fields.items("rows")]
    if not rows:
        raise ValueError(f"{fields.where}.rows has none, expected at least one plan")
    profile = fields.fields("link")
    return Link(
        index=index,
        label=label,
        worker=fields.text("worker"),
        rtt_s=profile.number("rtt_s"),
        jitter_s=profile.number("jitter_s"),
        overhead_s=profile.number("overhead_s"),
        up_bytes_per_s=profile.positive("up_bytes_per_s"),
        down_bytes_per_s=profile.positive("down_bytes_per_s"),
        device_load_factor=fields.number("device_load_factor"),
        worker_load_factor=fields.number("worker_load_factor"),
        rows=rows,
        chosen=_measured_row(fields, "chosen", rows),
        fastest=_measured_row(fields, "best", rows),
        regret=fields.number("regret"),
        split_wins=fields.boolean("split_wins"),
    )


def _measured_row(fields: Fields, key: str, rows: Sequence[Row]) -> Row:
    index = fields.integer(key)
    if not 0 <= index < len(rows):
        raise ValueError(f"{fields.where}.{key} is {index}, expected one of the {len(rows)} rows")
    if not rows[index].measured:
        raise ValueError(f"{fields.where}.{key} is row {index} without a measurement, expected one that was measured")
    return rows[index]


def _read_row(fields: Fields) -> Row:
    not_measured = fields.text("not_measured")
    return Row(
        head_layers=fields.integer("head_layers"),
        cut=fields.text("cut"),
        codec=fields.text("codec"),
        bytes_up=fields.number("bytes_up"),
        predicted=_read_times(fields.fields("predicted")),
        measured=None if not_measured else _read_times(fields.fields("measured")),
        repetition_error=_repetition_error(fields.numbers("first_s"), fields.numbers("second_s")),
        not_measured=not_measured,
    )


def _read_times(fields: Fields) -> Times:
    return Times(
        head_s=fields.number("head_s"),
        encode_s=fields.number("encode_s"),
        wire_s=fields.number("transport_s"),
        decode_s=fields.number("decode_s"),
        tail_s=fields.number("tail_s"),
        total_s=fields.positive("total_s"),
    )


def _repetition_error(first_s: Sequence[float], second_s: Sequence[float]) -> float:
    if not first_s or not second_s or median(second_s) == 0:
        return 0.0
    return abs(median(first_s) / median(second_s) - 1)


def _read_machine(fields: Fields) -> Machine:
    return Machine(
        machine=fields.text("machine"),
        framework=fields.text("framework"),
        threads=fields.integer("threads"),
        load=fields.number("load"),
        pass_s=fields.number("pass_s"),
    )


def _read_codec(fields: Fields) -> CodecEffect:
    agreement = fields.number("agreement")
    return CodecEffect(
        name=fields.text("name"),
        cut=fields.text("cut"),
        ratio=fields.positive("ratio"),
        accuracy_loss=fields.number("accuracy_loss"),
        agreement=agreement,
        agreement_low=fields.number_or("agreement_low", agreement),
        agreement_high=fields.number_or("agreement_high", agreement),
        divergence_nat=fields.number("divergence_nat") if fields.has("divergence_nat") else None,
    )


def _read_map(root: Fields) -> PlanMap | None:
    if not root.has("map"):
        return None
    fields = root.fields("map")
    cells = [
        MapCell(
            bandwidth_bit_per_s=cell.positive("bandwidth_bit_per_s"),
            speed_ratio=cell.positive("speed_ratio"),
            cut=cell.text("cut"),
            codec=cell.text("codec"),
            latency_s=cell.positive("latency_s"),
            device_only_s=cell.positive("device_only_s"),
            worker_only_s=cell.positive("worker_only_s"),
        )
        for cell in fields.items("cells")
    ]
    return PlanMap(rtt_s=fields.number("rtt_s"), cells=cells) if cells else None


def _read_front_point(fields: Fields, links: int) -> FrontPoint:
    link = fields.integer("link")
    if not 0 <= link < links:
        raise ValueError(f"{fields.where}.link is {link}, expected one of the {links} links")
    return FrontPoint(
        link=link,
        cut=fields.text("cut"),
        codec=fields.text("codec"),
        latency_s=fields.number("latency_s"),
        throughput_per_s=fields.number("throughput_per_s"),
        bytes_up=fields.number("bytes_up"),
        accuracy_loss=fields.number("accuracy_loss"),
    )
