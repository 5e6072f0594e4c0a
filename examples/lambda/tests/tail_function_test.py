# SPDX-License-Identifier: Apache-2.0
"""A tail is described with its prepared model, which is made once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from local_aws.tail_function import prepared_model, tail_function

WORKER = """#!/bin/sh
# MODEL --prepare FILE
echo "no graph in it" >&2
cp "$1" "$3"
"""


@pytest.fixture
def worker(tmp_path: Path) -> Path:
    """Prepares a model by copying it."""
    path = tmp_path / "worker"
    path.write_text(WORKER)
    path.chmod(0o755)
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "net.pt"
    path.write_text("first")
    return path


def make_newer(path: Path, than: Path) -> None:
    newer_s = than.stat().st_mtime + 10
    os.utime(path, (newer_s, newer_s))


def test_the_command_has_what_was_asked_for(worker: Path, model: Path) -> None:
    tail = tail_function("tail", model, inputs=["1x3"], cuts=["relu", "4"], token="a" * 16, worker=worker)
    prepared = model.with_suffix(".prepared")
    assert tail.command[:2] == [str(worker), f"net={prepared}"]
    options = tail.command[2:]
    assert [options[at + 1] for at, word in enumerate(options) if word == "--cut"] == ["relu", "4"]
    for pair in (("--input", "1x3"), ("--threads", "1"), ("--listen", "lambda-runtime://")):
        assert options[options.index(pair[0]) + 1] == pair[1]
    assert prepared.read_text() == "first"
    assert tail.environment == {"OMP_NUM_THREADS": "1", "SPLITNET_TOKEN": "a" * 16}
    assert "SPLITNET_TOKEN" not in tail_function("tail", model, worker=worker).environment


def test_a_model_is_prepared_again_when_it_or_the_worker_has_changed(worker: Path, model: Path) -> None:
    prepared = prepared_model(model, worker)
    model.write_text("second")
    os.utime(model, (0, 0))
    assert prepared_model(model, worker).read_text() == "first", "it is newer than both"
    make_newer(model, prepared)
    assert prepared_model(model, worker).read_text() == "second"
    model.write_text("third")
    os.utime(model, (0, 0))
    make_newer(worker, prepared)
    assert prepared_model(model, worker).read_text() == "third"


def test_what_is_missing_or_fails_is_named(worker: Path, model: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no model .*none.pt"):
        prepared_model(tmp_path / "none.pt", worker)
    with pytest.raises(FileNotFoundError, match="nowhere is missing: scripts/build release makes it"):
        prepared_model(model, tmp_path / "nowhere")
    worker.write_text('#!/bin/sh\necho "no graph in it" >&2\nexit 1\n')
    with pytest.raises(RuntimeError, match="net.pt can't be prepared: no graph in it"):
        prepared_model(model, worker)
    assert {path.name for path in tmp_path.iterdir()} == {"worker", "net.pt"}, "no half of one stays"
