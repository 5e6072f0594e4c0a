# SPDX-License-Identifier: Apache-2.0
"""Profiles, plans, codecs, calibration, leakage and sweeps from Python."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import splitnet

QUICK = splitnet.ProfileOptions(warm_up_passes=1, layer_passes=2, whole_passes=1, stage_passes=1, pause_s=0)
QUICK_LINK = splitnet.LinkProbeOptions(small_messages=3, large_messages=1, pause_s=0, message_s=0.01)
PLANNING = splitnet.TwoTierOptions(device_options=QUICK, link_options=QUICK_LINK)


@pytest.fixture(scope="module")
def profile(part: splitnet.Partitioner) -> splitnet.DeviceProfile:
    return splitnet.profile_device(part, part.example_inputs, QUICK)


@pytest.fixture(scope="module")
def module_worker(part: splitnet.Partitioner) -> Iterator[splitnet.Worker]:
    with splitnet.Worker(part) as worker:
        yield worker


@pytest.fixture(scope="module")
def plan(part: splitnet.Partitioner, module_worker: splitnet.Worker) -> splitnet.TwoTierPlan:
    return splitnet.plan(part, module_worker.address, planning=PLANNING)


def test_a_profile_has_every_layer_and_tells_how_far_it_is(part: splitnet.Partitioner) -> None:
    told: list[tuple[int, int]] = []
    profile = splitnet.profile_device(
        part, part.example_inputs, QUICK.replace(progress=lambda done, total: told.append((done, total)))
    )
    assert [layer.name for layer in profile.layers] == [layer.name for layer in part.layers.layers]
    assert profile.pass_s > 0
    assert told[-1][0] == told[-1][1]


def test_what_progress_raises_ends_the_profiling(part: splitnet.Partitioner) -> None:
    def enough(done: int, total: int) -> None:
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        splitnet.profile_device(part, part.example_inputs, QUICK.replace(progress=enough))


def test_profiles_come_back_from_files(profile: splitnet.DeviceProfile, tmp_path: Path) -> None:
    path = str(tmp_path / "profile.json")
    profile.save(path)
    assert splitnet.DeviceProfile.from_file(path) == profile
    assert splitnet.DeviceProfile.from_json(profile.to_json()) == profile
    assert json.loads(profile.to_json())["schema_version"] == 1
    with pytest.raises(splitnet.Corrupt):
        splitnet.DeviceProfile.from_json("{")


def test_a_link_is_probed(module_worker: splitnet.Worker) -> None:
    with splitnet.default_registry().connect(f"shaped://delay=5ms@{module_worker.address}") as connection:
        link = splitnet.probe_link(connection, QUICK_LINK)
    assert link.rtt_s > 0.009
    assert link.up_bytes_per_s > 0


def test_a_plan_explains_itself(plan: splitnet.TwoTierPlan, part: splitnet.Partitioner) -> None:
    assert plan.plan.candidates
    assert plan.latency_s > 0
    assert plan.explain(1).splitlines()[1:] and plan.cut in plan.explain(1)
    assert plan.head_layers <= len(part.layers.layers)
    assert plan._repr_html_().startswith("<pre>verdict: ")
    assert "<table>" in plan._repr_html_()


def test_a_session_keeps_to_the_plan_without_measuring_again(
    plan: splitnet.TwoTierPlan, part: splitnet.Partitioner, photo: torch.Tensor
) -> None:
    with splitnet.Session(part, plan) as session:
        answer = session.run(photo)
        assert session.plan is not None
        assert session.plan.chosen == plan.chosen
    assert bool(answer.answered_by) == (plan.cut != "device only")
    assert torch.equal(answer.output, part.split()[0].run([photo])[0])


def test_a_plan_for_some_threads_can_be_opened(part: splitnet.Partitioner, module_worker: splitnet.Worker) -> None:
    found = splitnet.plan(part, module_worker.address, planning=PLANNING, threads=2)
    assert found.problem.tiers[0].profile.threads == 2
    with splitnet.Session(part, found) as session:
        assert session.plan is not None
        assert session.plan.chosen == found.chosen


def test_constraints_are_kept_to(part: splitnet.Partitioner, module_worker: splitnet.Worker) -> None:
    layers = len(part.layers.layers)
    kept = splitnet.plan(part, module_worker.address, planning=PLANNING, min_head_layers=layers - 1)
    assert kept.head_layers >= layers - 1
    none = splitnet.plan(part, module_worker.address, planning=PLANNING, max_latency_s=1e-9)
    with pytest.raises(splitnet.InvalidArgument, match="latency"):
        _ = none.chosen
    with pytest.raises(splitnet.InvalidArgument, match="speed"):
        splitnet.plan(part, module_worker.address, "speed", planning=PLANNING)


def test_planners_agree(plan: splitnet.TwoTierPlan, part: splitnet.Partitioner) -> None:
    problem = plan.problem
    cost = splitnet.cost_of(problem, plan.chosen.assignment)
    assert cost == plan.chosen.cost
    tiers = splitnet.plan_tiers(problem, splitnet.Objective.latency, is_legal=part.is_legal)
    assert tiers.chosen is not None
    assert tiers.chosen.cost.latency_s == pytest.approx(plan.latency_s)
    dag = splitnet.plan_dag(problem, splitnet.Objective.latency, is_legal=part.is_legal)
    assert dag.chosen is not None
    assert dag.chosen.cost.latency_s <= plan.latency_s * (1 + 1e-9)
    front = splitnet.pareto_front(problem, [splitnet.Objective.latency, splitnet.Objective.throughput])
    assert front[0].cost.latency_s == pytest.approx(plan.latency_s)


def test_planning_again_for_other_conditions(plan: splitnet.TwoTierPlan) -> None:
    planner = splitnet.SequentialPlanner(plan.problem)
    dead = splitnet.Conditions(link=splitnet.LinkProfile(rtt_s=5, up_bytes_per_s=1, down_bytes_per_s=1))
    choice = planner.choose(splitnet.Objective.latency, splitnet.Constraints(), dead)
    assert choice is not None
    assert choice.head_layers == len(plan.problem.graph.layers), "nothing is sent over a dead link"
    slow = dead.replace(link=plan.problem.links[0][0], device_load_factor=1e6)
    choice = planner.choose(splitnet.Objective.latency, splitnet.Constraints(), slow)
    assert choice is not None
    assert choice.head_layers == 0


def test_codecs_encode_and_decode() -> None:
    codec = splitnet.CodecRegistry().make("int8:per=channel;lossless=zstd")
    assert codec is not None, "only raw has none"
    tensor = torch.randn(1, 16, 32, 32)
    coded = splitnet.encode_values(codec, [tensor])
    (decoded,) = splitnet.decode_values(codec, coded.values)
    assert codec.takes(tensor)
    assert decoded.shape == tensor.shape
    assert (decoded - tensor).abs().max() < 0.05
    assert coded.values[0][1].numel() < tensor.numel() * 2
    with pytest.raises(splitnet.InvalidArgument, match="transform"):
        splitnet.CodecRegistry().make("mp3")
    with pytest.raises(splitnet.Corrupt):
        splitnet.decode_values(codec, [(True, torch.zeros(5, dtype=torch.uint8))])


def test_calibration(part: splitnet.Partitioner, module_worker: splitnet.Worker, tmp_path: Path) -> None:
    examples = [[torch.rand(1, 3, 16, 16)] for _ in range(8)]
    options = splitnet.CalibrationOptions(
        cuts=["second"], codecs=["f16", "int8"], coarsenesses=[], refined_losses=[], gradients=1
    )
    calibration = splitnet.calibrate(part, examples, options)
    assert {codec.profile.name for codec in calibration.codecs} == {"f16", "int8"}
    assert all(0 <= codec.effect.agreement <= 1 for codec in calibration.codecs)
    path = str(tmp_path / "calibration.json")
    calibration.save(path)
    assert splitnet.Calibration.from_file(path) == calibration
    plan = splitnet.plan(part, module_worker.address, planning=PLANNING, calibration=calibration)
    assert len(plan.problem.codecs) == 3


def test_leakage(part: splitnet.Partitioner) -> None:
    examples = [[torch.rand(1, 3, 16, 16)] for _ in range(4)]
    options = splitnet.LeakageOptions(cuts=["first"], attacked=1, steps=2)
    (leakage,) = splitnet.measure_leakage(part, examples, options)
    assert leakage.codec == "raw"
    assert leakage.examples == 4


def test_a_picture_file_in_place_of_a_tensor(part: splitnet.Partitioner) -> None:
    import io

    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (16, 16), (200, 30, 90)).save(file, "JPEG")
    picture = splitnet.EncodedPicture(file.getvalue(), "mean=0.5;std=0.5")
    assert (picture.width, picture.height, picture.channels) == (16, 16, 3)
    with splitnet.Session(part) as session:
        assert torch.equal(session(picture), session(picture.decode(3)))
    with pytest.raises(splitnet.InvalidArgument, match="JPEG"):
        splitnet.EncodedPicture(b"GIF89a....", "mean=0.5;std=0.5")


def test_a_sweep(part: splitnet.Partitioner, module_worker: splitnet.Worker, photo: torch.Tensor) -> None:
    links = [f"shaped://up={up}Mbit,down=50Mbit,delay=1ms@{module_worker.address}" for up in (5, 50)]
    told: list[tuple[str, int, int]] = []
    swept = splitnet.sweep(
        part, links, max_cuts=2, planning=PLANNING, options=splitnet.SweepOptions(pause_s=0, repetitions=1),
        progress=lambda *so_far: told.append(so_far),
    )  # fmt: skip
    assert [link.worker for link in swept.links] == links
    assert {row.cut for row in swept.links[0].rows} >= {"device only", "worker only"}
    assert all(row.measured.total_s > 0 and len(row.first_s) == 1 for row in swept.links[0].rows)
    assert told[-1][1] == told[-1][2]
    assert splitnet.Sweep.from_json(swept.to_json()) == swept


def test_ctrl_c_in_a_sweep_keeps_what_was_measured(part: splitnet.Partitioner, module_worker: splitnet.Worker) -> None:
    link = f"shaped://delay=20ms@{module_worker.address}"
    sent = threading.Event()

    def interrupt(worker: str, done: int, total: int) -> None:
        if done >= 4 and not sent.is_set():
            sent.set()
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(splitnet.SweepInterrupted) as interrupted:
        splitnet.sweep(part, link, repetitions=50, planning=PLANNING, progress=interrupt)
    (measured,) = interrupted.value.sweep.links
    assert any(row.measured.total_s > 0 for row in measured.rows)
    assert any(row.not_measured for row in measured.rows)


def test_times_of_layers_are_predicted(
    part: splitnet.Partitioner, profile: splitnet.DeviceProfile, photo: torch.Tensor
) -> None:
    other = splitnet.Partitioner(
        torch.jit.script(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU())), photo
    )
    other_profile = splitnet.profile_device(other, other.example_inputs, QUICK)
    predictor = splitnet.LayerTimePredictor.fit([(part.layers, profile), (other.layers, other_profile)])
    predicted = predictor.predict(part.layers)
    assert predicted.relative_error > 0
    assert len(predicted.layers) == len(profile.layers)


def test_a_recorded_link_and_an_estimator(tmp_path: Path) -> None:
    path = tmp_path / "link.csv"
    path.write_text("time_s,bandwidth_bit_per_s\n0,8000\n0.1,16000\n")
    trace = splitnet.LinkTrace.from_file(str(path))
    assert trace.mean_bytes_per_s == 1500
    assert trace.finish_s(0, 100) == pytest.approx(0.1)
    estimator = splitnet.LinkEstimator(splitnet.LinkProfile(rtt_s=0.01, up_bytes_per_s=1e6, down_bytes_per_s=1e6))
    before = estimator.doubt(1).bandwidth
    estimator.observe(splitnet.Transfer(at_s=1, bytes_up=1e6, transport_s=4))
    assert estimator.profile(1).up_bytes_per_s < 1e6
    assert estimator.doubt(1).bandwidth != before


def test_values_are_compared_copied_and_pickled(profile: splitnet.DeviceProfile, plan: splitnet.TwoTierPlan) -> None:
    import copy
    import pickle

    values: list[Any] = [profile, plan.problem.links[0][0], plan.constraints, splitnet.AdaptiveOptions(race_gain=0.5)]
    for value in values:
        assert pickle.loads(pickle.dumps(value)) == value
        assert copy.deepcopy(value) == value
    changed = profile.replace(threads=99)
    assert changed != profile
    assert changed.replace(threads=profile.threads) == profile
    with pytest.raises(AttributeError):
        profile.threads = 3  # type: ignore[misc]
    with pytest.raises(TypeError):
        profile.replace(thread=3)
    link = splitnet.LinkProfile(rtt_s=0.25)
    assert eval(repr(link), {"LinkProfile": splitnet.LinkProfile}) == link


def test_a_duration_that_is_none() -> None:
    with pytest.raises(splitnet.InvalidArgument, match="292 years"):
        splitnet.ProfileOptions(pause_s=float("nan"))
