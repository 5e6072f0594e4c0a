# SPDX-License-Identifier: Apache-2.0
"""The worker of the image starts with what its sessions will ask for: a model made ready, stages cut."""

from __future__ import annotations

import dataclasses
import re
import urllib.request
from pathlib import Path

import pytest
import torch

import splitnet
from local_aws import Function, LocalAws, image_function


def with_status(function: Function) -> Function:
    """Prints where its counts can be read."""
    return dataclasses.replace(function, command=[*function.command, "--status", "127.0.0.1:0"])


def counts(aws: LocalAws, function: str) -> dict[str, float]:
    """Of the worker that runs now."""
    (address,) = re.findall(r"status at (\S+)", "\n".join(aws.log(function)))
    address = address if "://" in address else f"http://{address}"
    with urllib.request.urlopen(f"{address}/metrics", timeout=10) as reply:
        lines = reply.read().decode().splitlines()
    found = (re.fullmatch(r"(splitnet_worker_stage_cache_\w+) (\S+)", line) for line in lines)
    return {one[1].removeprefix("splitnet_worker_stage_cache_"): float(one[2]) for one in found if one}


@pytest.mark.parametrize(("cuts", "cut_by_calls"), [(["first"], 0), (["input", "first"], 0), ([], 1)])
def test_a_stage_that_was_named_is_not_cut_again(
    image: Path, model: Path, photo: torch.Tensor, monkeypatch: pytest.MonkeyPatch, cuts: list[str], cut_by_calls: int
) -> None:
    part = splitnet.Partitioner(model)
    function = with_status(image_function("tail", image, "small", cuts=cuts))
    with LocalAws(functions=[function]) as aws:
        for name, value in aws.environment.items():
            monkeypatch.setenv(name, value)
        cut = splitnet.Cut.after("first")
        with splitnet.Session(part, worker="lambda://tail", cut=cut, threads=1, finish_on_device=False) as session:
            answers = [session(photo) for _ in range(2)]
        found = counts(aws, "tail")
    assert found["misses_total"] == len(cuts) + cut_by_calls
    assert found["hits_total"] >= 2
    head, tail = part.split(after=cut, threads=1)
    assert all(torch.equal(answer, tail.run(head.run([photo]))[0]) for answer in answers)


def test_the_model_in_the_image_is_prepared(image: Path, model: Path) -> None:
    inside = image / "models/small.pt"
    assert inside.read_bytes() != model.read_bytes()
    assert splitnet.Partitioner(inside).fingerprint == splitnet.Partitioner(model).fingerprint
