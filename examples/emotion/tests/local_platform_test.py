# SPDX-License-Identifier: Apache-2.0
"""The local platform chooses a cut, runs it, and always answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import splitnet
from emotion.faces import Face
from emotion.local_platform import LocalPlatform
from emotion.planner_picks import planner_picks
from emotion.settings import Settings, parse
from emotion.wire import Wire

Open = Callable[..., LocalPlatform]


@pytest.fixture
def open_platform(models: Path) -> Iterator[Open]:
    opened: list[LocalPlatform] = []

    def open_one(worker: str, *more: str) -> LocalPlatform:
        opened.append(LocalPlatform(settings("--worker", worker, "--models", str(models), *more)))
        return opened[-1]

    yield open_one
    for platform in opened:
        platform.close()


@pytest.fixture(scope="module")
def platform(worker: splitnet.Worker, models: Path) -> Iterator[LocalPlatform]:
    with LocalPlatform(settings("--worker", worker.address, "--models", str(models))) as opened:
        yield opened


def settings(*arguments: str) -> Settings:
    return parse(arguments, "test", "")


def whole(models: Path, face: Face) -> torch.Tensor:
    network = torch.jit.load(models / "emotion.pt")  # type: ignore[no-untyped-call]
    with torch.inference_mode():
        answer: torch.Tensor = network(face.pixels)[0]
    return answer


def test_every_cut_gives_the_answer_of_the_whole_network(
    platform: LocalPlatform, worker: splitnet.Worker, models: Path, face: Face
) -> None:
    for block in platform.blocks:
        found = platform.recognise(face.pixels, platform.choice(block.end))
        lossy = found.choice.codec not in ("raw", "f16")
        assert (torch.tensor(found.probabilities) - whole(models, face)).abs().max() < (0.05 if lossy else 1e-3)
        assert found.answered_by == ("" if block is platform.blocks[-1] else worker.address)
        assert found.total_s == pytest.approx(found.device_s + found.transfer_s + found.worker_s)


def test_the_planner_never_falls_for_a_large_boundary(platform: LocalPlatform, photo: bytes) -> None:
    photo_bytes = len(photo)
    picks = list(planner_picks(platform, photo_bytes))
    assert {pick.cut for pick in picks} >= {"device only", "after relu"}, "it has something to choose from"
    assert not any(pick.is_mistake for pick in picks)
    assert all(pick.latency_s <= pick.five_blocks_s for pick in picks)
    tempting = [pick for pick in picks if pick.five_blocks_s > pick.photo_s]
    assert len(tempting) == len(picks), (
        "five blocks in the cloud are slower than the photo everywhere, as in the report"
    )
    for pick in picks:
        if pick.sent_bytes > photo_bytes and pick.latency_s > pick.photo_s:
            assert pick.is_private_at_a_price(photo_bytes)
            assert replace(pick, latency_s=pick.five_blocks_s).is_mistake, "the check notices a slower cut"


def test_on_a_slow_link_fewer_bytes_are_sent(open_platform: Open, worker: splitnet.Worker, face: Face) -> None:
    link = splitnet.ShapedOptions(up_bytes_per_s=250e3, delay_s=0.005)
    with Wire(worker.address.removeprefix("tcp://"), link) as wire:
        platform = open_platform(f"tcp://{wire.address}")
        assert platform.chosen.head_layers == platform.layers, "there is nothing to gain"
        forced = platform.choice(platform.blocks[1].end)
        assert forced.codec != "raw"
        found = platform.recognise(face.pixels, forced)
        assert found.sent_bytes < 0.3 * platform.blocks[1].output_bytes
        assert found.sent_bytes == pytest.approx(forced.predicted_bytes, rel=0.5)
        assert found.transfer_s > 0.01 + found.sent_bytes / 250e3


def test_a_check_measures_anew(platform: LocalPlatform) -> None:
    check = platform.check()
    assert check.cores >= 1
    assert 0 <= check.busy <= 1
    assert 0 < check.available_bytes < check.memory_bytes
    assert 1e-4 < check.pass_s < 1
    first = platform.plan
    platform.make_plan()
    assert platform.plan is not None
    assert platform.plan is not first


def test_without_a_worker_all_runs_here(open_platform: Open, face: Face) -> None:
    platform = open_platform("tcp://127.0.0.1:1")
    assert platform.plan is None
    assert "Connection refused" in platform.findings.trouble
    assert platform.chosen.head_layers == platform.layers
    assert platform.chosen.predicted_s is None
    assert platform.recognise(face.pixels, platform.chosen).trouble == ""
    forced = platform.recognise(face.pixels, platform.choice(4))
    assert "Connection refused" in forced.trouble
    assert forced.probabilities[3] > 0.9
    assert (forced.sent_bytes, forced.answered_by) == (0, "")


def test_when_the_worker_goes_the_device_finishes(open_platform: Open, part: splitnet.Partitioner, face: Face) -> None:
    worker = splitnet.Worker(part, threads=1)
    platform = open_platform(worker.address)
    choice = platform.choice(4)
    assert platform.recognise(face.pixels, choice).trouble == ""
    worker.close()
    found = platform.recognise(face.pixels, choice)
    assert "did not answer" in found.trouble
    assert found.answered_by == ""
    assert found.probabilities[3] > 0.9


def test_a_worker_with_another_model_is_named(open_platform: Open, face: Face) -> None:
    other = splitnet.Partitioner(torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.ReLU()).eval(), [face.pixels])
    with splitnet.Worker(other) as worker:
        platform = open_platform(worker.address)
        assert platform.plan is None
        assert "fingerprint" in platform.findings.trouble or "model" in platform.findings.trouble
