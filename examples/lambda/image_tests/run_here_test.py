# SPDX-License-Identifier: Apache-2.0
"""The deployed function on this machine, from the image to answers, with one command; and the session in C++ by itself."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest
import torch

from local_aws import LocalAws

from .conftest import TOKEN

EXAMPLE = Path(__file__).resolve().parents[1]
CALL_FUNCTION = EXAMPLE.parents[1] / "build/release/call_function"


@pytest.fixture
def photo_file(photo: torch.Tensor, tmp_path: Path) -> Iterator[str]:
    """As --input has it."""
    path = tmp_path / "photo.bin"
    path.write_bytes(photo.numpy().tobytes())
    yield f"{path}:1x3x16x16"


def run_here(image: Path, model: Path, *options: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(EXAMPLE.parent)}
    program: list[str | Path] = [sys.executable, "-W", "ignore", EXAMPLE / "run_here.py", "--image", image]
    return subprocess.Popen(
        [*program, "--model", model, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


@pytest.mark.parametrize("cut", ["input", "first"])
def test_the_image_answers_under_the_emulator(image: Path, model: Path, photo_file: str, cut: str) -> None:
    process = run_here(image, model, "--input", photo_file, "--cut", cut, "--check")
    said, errors = process.communicate(timeout=300)
    assert process.returncode == 0, said + errors
    calls = [line for line in said.splitlines() if line.endswith("the bits of the model")]
    assert [re.split(r" {2,}", line)[0] for line in calls] == [
        "Python, lambda://, session opened",
        *["Python, lambda://"] * 3,
        "Python, lambda://, 6.3 MB by S3",
        "Python, function URL",
        "C++, lambda://, session opened",
        *["C++, lambda://"] * 2,
        "C++, function URL, session opened",
        *["C++, function URL"] * 2,
    ]
    assert [number for number, line in enumerate(calls) if "to start" in line] == [0, 6]
    assert "left in the bucket: 0 objects; a wrong token and none: refused" in said
    billed = r"billed \d+ ms hot at 1769 MB: .*; a cold start more (\d+) ms, (0\.\d+) dollars"
    cost = re.fullmatch(billed, said.splitlines()[-1])
    assert cost, said
    assert float(cost[2]) == pytest.approx(int(cost[1]) / 1000 * 1769 / 1024 * 16.6667e-6, abs=1e-7)


def test_a_cut_that_is_none_is_told_before_anything_starts(image: Path, model: Path, photo_file: str) -> None:
    process = run_here(image, model, "--input", photo_file, "--cut", "features.99")
    said, errors = process.communicate(timeout=120)
    assert (process.returncode, said) == (1, "")
    assert "no layer or module is called 'features.99'" in errors and "Traceback" not in errors


def test_ctrl_c_ends_it_and_what_it_has_started(image: Path, model: Path, photo_file: str) -> None:
    process = run_here(image, model, "--input", photo_file)
    assert process.stdout is not None
    while not process.stdout.readline().startswith("Memory: "):
        assert process.poll() is None
    started = psutil.Process(process.pid).children(recursive=True)
    assert len(started) >= 2  # The service and moto.
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (130, "")
    assert not psutil.wait_procs(started, timeout=30)[1]


def call_function(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([CALL_FUNCTION, *arguments], capture_output=True, text=True, timeout=60)


def test_the_session_in_cpp_over_invoke_and_url(aws: LocalAws, model: Path, photo_file: str, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    for endpoint in ("lambda://small", aws.function_url("small")):
        before = len(aws.invocations("small"))
        done = call_function(
            model, endpoint, "--input", photo_file, "--cut", "first", "--calls", "3", "--token-file", token
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1] == "answers: those of the model in one piece"
        assert done.stdout.count("call: ") == 3
        assert len(aws.invocations("small")) >= before + 3
    assert [one.error for one in aws.invocations("small")] == [None] * len(aws.invocations("small"))


def test_the_session_in_cpp_says_what_is_wrong(aws: LocalAws, model: Path, photo_file: str, tmp_path: Path) -> None:
    url = aws.function_url("small")
    missing = f"{tmp_path}/none.bin:1x3x16x16"
    for endpoint, given, words in (
        (url, photo_file, "call_function: unauthenticated: worker "),
        (
            "lambda://nobody",
            photo_file,
            "call_function: invalid_argument: connect to 'lambda://nobody' at lambda in eu-central-1",
        ),
        ("lambda://small", missing, f"--input {missing}: the file can't be opened"),
        ("lambda://small", photo_file.replace("3x", "threex"), "found the size 'three', expected a positive number"),
        ("lambda://small", photo_file.replace("3x", "4x"), "the file has 3072 bytes, the shape needs 4096"),
    ):
        done = call_function(model, endpoint, "--input", given)
        assert done.returncode == 2 and words in done.stderr, done.stderr
        assert "Traceback" not in done.stderr and TOKEN not in done.stderr
    done = call_function(model, "lambda://small", "--input", photo_file, "--calls", "none")
    assert done.returncode == 2 and "--calls" in done.stderr, done.stderr
