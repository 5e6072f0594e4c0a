# SPDX-License-Identifier: Apache-2.0
"""The image: small, complete, and refused when it is too large. The worker runs inside, on nothing but what is there."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import assemble_image
import splitnet

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = ROOT / "examples/lambda"
WORKER = ROOT / "build/release/splitnet-worker"


def assemble_by_command(*options: str | Path) -> subprocess.CompletedProcess[str]:
    program: list[str | Path] = [sys.executable, EXAMPLE / "assemble_image.py", "--worker", WORKER]
    return subprocess.run([*program, *options], capture_output=True, text=True)


@pytest.fixture(scope="module")
def served(image: Path) -> Iterator[str]:
    """The endpoint of a worker that has the image as its root file system."""
    worker = subprocess.Popen(
        [
            EXAMPLE / "in_image",
            image,
            "/bootstrap",
            "/splitnet-worker",
            "/models/small.pt",
            "--listen",
            "tcp://127.0.0.1:0",
        ],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert worker.stdout is not None
    said = worker.stdout.readline()
    assert said.startswith("listening on "), said
    yield said.removeprefix("listening on ").strip()
    worker.terminate()
    assert worker.wait(timeout=30) == 0


def test_the_worker_answers_inside_the_image(served: str, model: Path, photo: torch.Tensor) -> None:
    part = splitnet.Partitioner(model)
    cut = splitnet.Cut.after("first")
    with splitnet.Session(part, worker=served, cut=cut, threads=1, finish_on_device=False) as session:
        answer = session(photo)
    head, tail = part.split(after=cut, threads=1)
    assert torch.equal(answer, tail.run(head.run([photo]))[0])


def test_nothing_in_the_image_leads_out_of_it(image: Path) -> None:
    assert {path.name for path in image.iterdir()} == {
        *("bootstrap", "bootstrap.pages", "dev", "etc", "lib", "models", "proc", "splitnet-worker", "sys", "tmp"),
        *(path.name for path in image.glob("lib64")),
    }
    assert not [path for path in image.rglob("*") if path.is_symlink()]
    assert not list(image.rglob("libtorch_python*")), "the worker needs no Python"


def test_the_image_cant_be_written_but_for_tmp(image: Path, tmp_path: Path) -> None:
    ends = subprocess.run(
        [EXAMPLE / "in_image", image, "/splitnet-worker", "/models/small.pt", "--listen", "unix:///models/socket"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert ends.returncode == 1
    assert "Read-only file system" in ends.stderr
    assert not (image / "models/socket").exists()


def test_symbols_for_debuggers_are_left_out(image: Path) -> None:
    (libtorch,) = image.glob("lib/*/libtorch_cpu.so")
    original = assemble_image.shared_libraries(WORKER)[str(libtorch.relative_to(image))]
    assert libtorch.stat().st_size < 0.85 * original.stat().st_size


def test_sizes_are_told(image: Path) -> None:
    lines = list(assemble_image.report(image, compress=False))
    told = sum(float(line.split()[0]) for line in lines[:-2])
    assert told == pytest.approx(assemble_image.size_bytes(image) / 1e6, rel=0.01)
    assert "libtorch_cpu.so" in lines[0]
    assert "does not fit into a zip package" in lines[-1]


def test_an_image_that_is_too_large_is_refused(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "root"
    ends = assemble_by_command("--model", model, "--out", out, "--limit-bytes", "100000000")
    assert ends.returncode == 1
    assert "image too large: 3" in ends.stderr and "at most 100000000" in ends.stderr
    assert not list(tmp_path.iterdir()), "nothing is left behind"


def test_what_is_missing_is_named(model: Path, tmp_path: Path) -> None:
    ends = assemble_by_command("--model", tmp_path / "none.pt", "--out", tmp_path / "root")
    assert ends.returncode == 1 and f"there is no file {tmp_path}/none.pt" in ends.stderr
    with pytest.raises(assemble_image.AssemblyError, match="ldd can't read .*small.pt"):
        assemble_image.shared_libraries(model)
    twice = [assemble_image.parse_model(f"one={model}")] * 2
    with pytest.raises(assemble_image.AssemblyError, match="two models have the name one"):
        assemble_image.contents(WORKER, twice)


def test_a_folder_of_other_things_is_not_replaced(model: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(assemble_image.AssemblyError, match="not an image of before"):
        assemble_image.assemble(WORKER, [assemble_image.parse_model(str(model))], tmp_path, [])
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
