# SPDX-License-Identifier: Apache-2.0
"""What a person can choose: on the command line, or in the environment as EMOTION_NAME."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MODELS = Path(__file__).resolve().parents[2] / "build/models"


@dataclass(frozen=True)
class Settings:
    """All of them, checked."""

    worker: str  #: Endpoint of the tail.
    models: Path
    objective: str
    max_accuracy_loss: float  #: Share of answers that a codec may change.
    min_head_layers: int
    cold_start_probability: float
    cold_start_s: float
    memory_megabytes: int
    deadline_s: float
    bucket: str


def parse(arguments: Sequence[str], program: str, description: str) -> Settings:
    """Ends the program for --help and for what is wrong."""
    parser = argparse.ArgumentParser(
        program, description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )

    def add(name: str, default: str, meaning: str, **more: Any) -> None:
        value = os.environ.get(f"EMOTION_{name.upper()}", default)
        parser.add_argument(f"--{name.replace('_', '-')}", default=value, help=meaning, **more)

    add(
        "worker",
        "tcp://127.0.0.1:7070",
        "endpoint of the tail: tcp://HOST:PORT, lambda://FUNCTION, or https:// with the address of a function URL or API",
    )
    add("models", str(MODELS), "folder with what export_model.py wrote", type=Path)
    add("objective", "latency", "what to plan for", choices=("latency", "dollars", "throughput"))
    add("max_accuracy_loss", "0.01", "share of answers that a codec may change", type=_share)
    add(
        "min_head_layers",
        "2",
        "layers that run on the device whatever the plan; 2: the first block",
        type=_at_least_one,
    )
    add("cold_start_probability", "0", "that a call finds no warm function", type=_share)
    add("cold_start_s", "2", "seconds that such a call takes longer", type=_positive)
    add("memory_megabytes", "1769", "of the function, for the dollars of a plan; 1769 is one CPU", type=_at_least_one)
    add("deadline_s", "10", "seconds after which the device has finished by itself", type=_positive)
    add("bucket", "", "S3 bucket of the baseline, which sends the photo; empty: there is none")
    return Settings(**vars(parser.parse_args(arguments)))


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not in 0..1")
    return value


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def _at_least_one(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is below 1")
    return value
