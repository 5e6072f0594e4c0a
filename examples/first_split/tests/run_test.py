# SPDX-License-Identifier: Apache-2.0
"""What the whole example takes as one command; `scripts/demo --check` runs it."""

from __future__ import annotations

import subprocess

import pytest

from common.package_files import ROOT


def ended(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([ROOT / "examples/first_split/run", *arguments], capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--beauty"], "The following argument was not expected: --beauty"),
        (["--check", "--runs", "0"], "--runs: Value 0 not in range 1 to 100000"),
        (["--cuts", "many"], "--cuts: Value many not in range 2 to 100000"),
        (["--worker", "tcp://127.0.0.1:1"], "--worker: At Most 1 required but received 2"),
    ],
)
def test_wrong_usage_is_named_before_anything_is_started(arguments: list[str], words: str) -> None:
    told = ended(*arguments)
    assert (told.returncode, told.stdout) == (2, ""), "the worker would be named"
    assert words in told.stderr


def test_help_starts_nothing() -> None:
    told = ended("--check", "--help")
    assert told.returncode == 0 and "[--runs N]" in told.stdout and "worker: process" not in told.stdout
