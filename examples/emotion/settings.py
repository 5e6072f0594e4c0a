# SPDX-License-Identifier: Apache-2.0
"""What a person can choose: on the command line, or in the environment as EMOTION_NAME."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypeVar

MODELS = Path(__file__).resolve().parents[2] / "build/models"

_Number = TypeVar("_Number", int, float)


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

    @property
    def arguments(self) -> list[str]:
        """The command line that gives these."""
        return [f"{_option(field.name)}={getattr(self, field.name)}" for field in fields(self)]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds an option for each setting; `from_options` reads what was given."""

    def add(name: str, default: str, meaning: str, read: Callable[[str], object] = str) -> None:
        value = os.environ.get(f"EMOTION_{name.upper()}", default)
        metavar = name.rpartition("_")[2].upper()
        parser.add_argument(_option(name), default=value, help=meaning, type=read, metavar=metavar)

    add(
        "worker",
        "tcp://127.0.0.1:7070",
        "endpoint of the tail: tcp://HOST:PORT, lambda://FUNCTION, or https:// with the address of a function URL or "
        "API; a token that it wants is taken from the environment, SPLITNET_TOKEN",
    )
    add("models", str(MODELS), "folder with what export_model.py wrote", Path)
    add("objective", "latency", "what to plan for: latency, dollars or throughput", _objective)
    add("max_accuracy_loss", "0.01", "share of answers that a codec may change", _share)
    add("min_head_layers", "2", "layers that run on the device whatever the plan; 2: the first block", _at_least_one)
    add("cold_start_probability", "0", "that a call finds no warm function", _share)
    add(
        "cold_start_s",
        "0.18",
        "seconds that such a call takes longer, all of them billed; the default is the tail's under AWS's emulator, "
        "README.md: on an account the function's log has its Init Duration",
        _positive,
    )
    add("memory_megabytes", "1769", "of the function, for the dollars of a plan; 1769 is one CPU", _at_least_one)
    add("deadline_s", "10", "seconds after which the device has finished by itself", _positive)
    add("bucket", "", "S3 bucket of the baseline, which sends the photo; empty: there is none")


def from_options(found: argparse.Namespace) -> Settings:
    """Of the options that `add_options` added."""
    return Settings(**{field.name: getattr(found, field.name) for field in fields(Settings)})


def parse(arguments: Sequence[str], program: str, description: str) -> Settings:
    """Ends the program for --help and for what is wrong."""
    parser = argparse.ArgumentParser(
        program, description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add_options(parser)
    return from_options(parser.parse_args(arguments))


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _objective(text: str) -> str:
    if text not in (known := ("latency", "dollars", "throughput")):
        raise argparse.ArgumentTypeError(f"found {text!r}, expected one of {', '.join(known)}")
    return text


def _share(text: str) -> float:
    return _number(float, text, lambda value: 0 <= value <= 1, "a number in 0..1")


def _positive(text: str) -> float:
    return _number(float, text, lambda value: 0 < value < 1e6, "a number above 0 and below a million")


def _at_least_one(text: str) -> int:
    return _number(int, text, lambda value: value >= 1, "a whole number of at least 1")


def _number(read: Callable[[str], _Number], text: str, is_good: Callable[[_Number], bool], expected: str) -> _Number:
    try:
        if is_good(value := read(text)):
            return value
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"found {text!r}, expected {expected}")
