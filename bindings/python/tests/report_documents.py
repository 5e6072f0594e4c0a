# SPDX-License-Identifier: Apache-2.0
"""Documents as `splitnet sweep --json` prints them, made up: eight links from 1 to 1000 Mbit/s before one network of 20
layers that shrink what they pass on."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from splitnet.names import ANY_CUT

Document = dict[str, Any]

LAYERS = 20
FINGERPRINT = "bf3c663cb6680ede7b7c037c26dd890a"
INPUTS = "f32[1, 3, 224, 224]"
LINKS = [
    (1, 4, 80),
    (4, 16, 50),
    (12, 40, 30),
    (40, 40, 10),
    (50, 50, 0.25),
    (200, 200, 4),
    (300, 300, 0.3),
    (1000, 1000, 1),
]
# Name, what is left of the bytes, seconds to encode or decode a byte.
CODECS = [
    ("raw", 1.0, 0.0),
    ("f16", 0.5, 1e-9),
    ("int8:per=channel;lossless=zstd", 0.2, 4e-9),
    ("transform:tables=b41922aa6821032090e1e7a77eacc63e;coarseness=-8", 0.05, 8e-9),
]
LONGEST_S = 0.6  # Plans that are predicted to take longer are not measured.


@pytest.fixture
def make_document() -> Callable[..., Document]:
    """With so many links, a device that is so many times slower than the worker, and the cuts' names."""
    return document_of


@pytest.fixture
def document() -> Document:
    return document_of()


@pytest.fixture(scope="session")
def html() -> str:
    """The page of `document`."""
    from splitnet import report

    return report.render(document_of())


def document_of(
    links: int = len(LINKS), slowness: float = 4.0, layers: int = LAYERS, name: str = "features.{}"
) -> Document:
    cuts = ["worker only", *(f"after {name.format(i)}" for i in range(1, layers)), "device only"]
    swept = [_link(*LINKS[i], slowness, cuts) for i in range(links)]
    return {
        "schema_version": 1,
        "model": {"name": "a_network", "fingerprint": FINGERPRINT, "layers": layers, "inputs": INPUTS},
        "versions": {"splitnet": "0.1.0", "torch": "2.13.0", "python": "3.11.7"},
        "created": "2026-11-27T17:01:02Z",
        "interrupted": False,
        "sweep": {
            "schema_version": 1,
            "fingerprint": FINGERPRINT,
            "device": _machine(0.01 * slowness),
            "worker": _machine(0.01),
            "links": swept,
            "failure": "",
        },
        "codecs": _codecs(cuts),
        "map": _map(),
        "pareto": [point for index, link in enumerate(swept) for point in _front(index, link["rows"])],
    }


def _machine(pass_s: float) -> Document:
    return {
        "fingerprint": FINGERPRINT,
        "machine": "Some Processor, 2 cores",
        "framework": "torch 2.13.0",
        "inputs": INPUTS,
        "threads": 1,
        "load": 0.1,
        "pass_s": pass_s,
        "pass_spread_s": 0.01 * pass_s,
        "stage_overhead_s": 2e-5,
        "calibration": 1.0,
        "relative_error": 0.0,
        "layers": [],
        "codecs": [],
    }


def _link(up_mbit: float, down_mbit: float, rtt_ms: float, slowness: float, cuts: list[str]) -> Document:
    noise = random.Random(up_mbit)
    link = {
        "rtt_s": rtt_ms / 1e3,
        "jitter_s": rtt_ms / 1e5,
        "overhead_s": 2e-5,
        "up_bytes_per_s": up_mbit / 8 * 1e6,
        "down_bytes_per_s": down_mbit / 8 * 1e6,
    }
    rows = []
    for codec, ratio, coding_s_per_byte in CODECS:
        for head_layers, cut in enumerate(cuts):
            if cut == "device only" and codec != "raw":
                continue
            rows.append(_row(link, head_layers, cut, len(cuts) - 1, slowness, (codec, ratio, coding_s_per_byte), noise))
    measured = [i for i, row in enumerate(rows) if not row["not_measured"]]
    chosen = min(measured, key=lambda i: float(rows[i]["predicted"]["total_s"]))
    best = min(measured, key=lambda i: float(rows[i]["first_s"][0]))
    return {
        "worker": f"shaped://up={up_mbit}Mbit,down={down_mbit}Mbit@tcp://10.200.0.2:7070",
        "link": link,
        "device_load_factor": 1.03,
        "worker_load_factor": 0.98,
        "rows": rows,
        "chosen": chosen,
        "best": best,
        "regret": rows[chosen]["second_s"][0] / rows[best]["second_s"][0] - 1,
        "split_wins": rows[best]["cut"].startswith("after"),
    }


def _row(
    link: Document,
    head_layers: int,
    cut: str,
    layers: int,
    slowness: float,
    codec: tuple[str, float, float],
    noise: random.Random,
) -> Document:
    depth = head_layers / layers
    name, ratio, coding_s_per_byte = codec
    bytes_raw = 0.0 if cut == "device only" else 600e3 * (1 - 0.98 * depth)
    sent = bytes_raw * ratio
    predicted = {
        "head_s": 0.01 * slowness * depth,
        "encode_s": bytes_raw * coding_s_per_byte,
        "transport_s": link["rtt_s"] + sent / link["up_bytes_per_s"] if bytes_raw else 0.0,
        "decode_s": bytes_raw * coding_s_per_byte,
        "tail_s": 0.01 * (1 - depth),
    }
    predicted["total_s"] = sum(predicted.values())
    factor = noise.uniform(0.97, 1.05)
    too_long = predicted["total_s"] > LONGEST_S
    total_s = predicted["total_s"] * factor
    return {
        "head_layers": head_layers,
        "cut": cut,
        "codec": name,
        "bytes_up": sent,
        "predicted": predicted,
        "profiled_s": predicted["total_s"],
        "measured": {term: 0.0 if too_long else factor * value for term, value in predicted.items()},
        "first_s": [] if too_long else [total_s * noise.uniform(0.995, 1.005)],
        "second_s": [] if too_long else [total_s],
        "not_measured": "predicted to take longer than 0.6 s" if too_long else "",
    }


def _codecs(cuts: list[str]) -> list[Document]:
    found = []
    for cut in [ANY_CUT, cuts[5], cuts[10], cuts[15]]:
        for coarseness in (-8, 0, 8) if cut != ANY_CUT else (0,):
            name = f"transform:tables=b41922aa;coarseness={coarseness}" if cut != ANY_CUT else "f16"
            changed = 0.0 if cut == ANY_CUT else 0.02 * 2 ** (coarseness / 8)
            found.append(
                {
                    "name": name,
                    "cut": cut,
                    "ratio": 0.5 if cut == ANY_CUT else 0.06 / 2 ** (coarseness / 8),
                    "accuracy_loss": changed,
                    "agreement": 1 - changed,
                    "agreement_low": 1 - 1.5 * changed - 0.002,
                    "agreement_high": 1 - 0.5 * changed,
                    "divergence_nat": changed / 10,
                }
            )
    return found


def _map() -> Document:
    bandwidths = [1e6 * 10 ** (i / 4) for i in range(13)]
    ratios = [0.5, 1.0, 2.0, 4.0, 8.0]
    cells = []
    for bandwidth in bandwidths:
        for ratio in ratios:
            device_s, worker_s, split_s = (
                0.04,
                0.04 / ratio + 4.8e6 / bandwidth,
                0.02 + 0.02 / ratio + 0.2e6 / bandwidth,
            )
            latency_s = min(device_s, worker_s, split_s)
            cut = {device_s: "device only", worker_s: "worker only"}.get(latency_s, "after features.9")
            cells.append(
                {
                    "bandwidth_bit_per_s": bandwidth,
                    "speed_ratio": ratio,
                    "cut": cut,
                    "codec": "f16" if cut.startswith("after") else "raw",
                    "latency_s": latency_s,
                    "device_only_s": device_s,
                    "worker_only_s": worker_s,
                }
            )
    return {"bandwidth_bit_per_s": bandwidths, "speed_ratio": ratios, "rtt_s": 0.01, "cells": cells}


def _front(link: int, rows: list[Document]) -> list[Document]:
    points: list[Document] = []
    for row in sorted(rows, key=lambda row: float(row["predicted"]["total_s"])):
        times = row["predicted"]
        throughput = 1 / max(times["head_s"], times["transport_s"], times["tail_s"])
        if not points or throughput > points[-1]["throughput_per_s"]:
            points.append(
                {
                    "link": link,
                    "cut": row["cut"],
                    "codec": row["codec"],
                    "latency_s": times["total_s"],
                    "throughput_per_s": throughput,
                    "bytes_up": row["bytes_up"],
                    "accuracy_loss": 0.004,
                }
            )
    return points
