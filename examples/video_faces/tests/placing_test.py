# SPDX-License-Identifier: Apache-2.0
"""The planner's choice is that of the link and the device, and sessions keep to it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import splitnet
from video_faces import faces, placing
from video_faces.cloud import Cloud
from video_faces.faces import Frame
from video_faces.placing import DESCRIPTOR, DETECTOR, Networks, Sessions
from video_faces.ways import measured_ways


@pytest.fixture(scope="module")
def calibration(networks: Networks, models: Path) -> dict[str, splitnet.Calibration]:
    return placing.calibrated(networks, models)


def slower(part: splitnet.Partitioner, times: float) -> splitnet.DeviceProfile:
    options = splitnet.ProfileOptions(stage=splitnet.StageOptions(threads=1))
    return splitnet.profile_device(part, part.example_inputs, options).scaled(times)


def test_codecs_that_change_too_much_are_not_chosen_from(calibration: dict[str, splitnet.Calibration]) -> None:
    for name in (DETECTOR, DESCRIPTOR):
        losses = {one.name: one.accuracy_loss for one in calibration[name].profiles()}
        assert len(losses) >= 6 and min(losses.values()) < placing.MAX_ACCURACY_LOSS
    assert max(one.accuracy_loss for one in calibration[DESCRIPTOR].profiles()) > placing.MAX_ACCURACY_LOSS


def test_over_a_slow_link_nothing_is_sent(
    started: Cloud, networks: Networks, calibration: dict[str, splitnet.Calibration]
) -> None:
    endpoint = started.through("up=100kbit,down=100kbit,delay=100ms")[DETECTOR]
    known = splitnet.LinkProfile(rtt_s=0.2, up_bytes_per_s=12500, down_bytes_per_s=12500)
    plan = splitnet.plan(
        networks.detector,
        endpoint,
        max_accuracy_loss=placing.MAX_ACCURACY_LOSS,
        calibration=calibration[DETECTOR],
        planning=splitnet.TwoTierOptions(link=known),
        threads=1,
    )
    assert plan.cut == "device only" and "verdict: don't split; device only" in plan.explain()


@pytest.mark.parametrize("adaptive", [False, True])
def test_for_a_slow_device_the_worker_does_the_work(
    started: Cloud,
    networks: Networks,
    calibration: dict[str, splitnet.Calibration],
    here: Sessions,
    frames: list[Frame],
    adaptive: bool,
) -> None:
    """Its answer is the device's own, but for what the codec may change."""
    endpoint = started.endpoints[DETECTOR]
    device = slower(networks.detector, 50)
    plan = placing.make_plan(networks.detector, endpoint, calibration[DETECTOR], device=device)
    assert plan.head_layers < len(networks.detector.layers.layers)
    pixels = faces.detector_input(frames[33])
    with placing.open_planned(networks.detector, plan, started.spare_endpoints, adaptive) as session:
        answer = session.run(pixels)
    assert answer.answered_by == endpoint
    expected = here.detector(pixels)
    assert float((answer.output - expected).norm() / expected.norm()) < 3 * placing.MAX_ACCURACY_LOSS
    assert len(faces.boxes_in(answer.output, 176, 144)) == len(faces.boxes_in(expected, 176, 144)) == 1


def test_what_was_not_chosen_is_measured_too(
    started: Cloud, networks: Networks, calibration: dict[str, splitnet.Calibration]
) -> None:
    plan = placing.make_plan(networks.descriptor, started.endpoints[DESCRIPTOR], calibration[DESCRIPTOR])
    ways = measured_ways("this machine", DESCRIPTOR, networks.descriptor, plan, 1.0, rounds=1)
    assert [way.is_pick for way in ways] == [True, False, False]
    assert ways[0].where == plan.cut and ways[0].predicted_s == plan.latency_s
    assert {"device only", "worker only"} < {way.where for way in ways}
    assert all(way.measured_s > 0 for way in ways)


def test_models_that_are_missing_are_named(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"face_detector\.pt is missing: \.venv/bin/python examples/video_faces"
    ):
        placing.load(tmp_path)


def test_example_inputs_are_what_the_networks_take(networks: Networks) -> None:
    assert placing.worker_inputs(networks) == ["face_detector=1x3x192x192", "face_descriptor=1x3x150x150"]
    assert isinstance(networks.detector.example_inputs[0], torch.Tensor)
