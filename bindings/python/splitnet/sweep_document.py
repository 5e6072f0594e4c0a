# SPDX-License-Identifier: Apache-2.0
"""A sweep as one JSON document: what `splitnet sweep --json` prints and `splitnet.report` reads.

Beside the measurements it has what the cost model says elsewhere: the best plan over a grid of bandwidths and speeds, and
the plans of each link that none beats in latency and throughput at once.
"""

from __future__ import annotations

import datetime
import json
import platform
from collections.abc import Callable, Sequence
from typing import Any

import torch

from splitnet import _build_info, _core
from splitnet.errors import InvalidArgument
from splitnet.model_facts import model_facts
from splitnet.names import cut_name
from splitnet.partitioner import Partitioner
from splitnet.plan_table import cut_of
from splitnet.planning import link_between

SCHEMA_VERSION = 1
_BANDWIDTHS_BIT_PER_S = [float(f"{10 ** (6 + step / 8):.4g}") for step in range(25)]  # 1 … 1000 Mbit/s
_SPEED_RATIOS = [float(f"{2 ** (step / 2):.4g}") for step in range(-4, 13)]  # 1/4 … 64


def document_of(
    model: Partitioner,
    sweep: _core.Sweep,
    *,
    codecs: Sequence[_core.CodecProfile] = (),
    calibration: _core.Calibration | None = None,
    interrupted: bool = False,
) -> dict[str, Any]:
    """The document; docs/schemas/sweep.schema.json says what is in it.

    `codecs` are those that were swept, beside raw. `calibration` is what they do to the answers, where it is known.
    Times are seconds, sizes bytes, rates of links bits per second.
    """
    is_legal = _remembered(model)
    problems = [_problem(model, sweep, link, codecs) for link in sweep.links]
    return {
        "schema_version": SCHEMA_VERSION,
        "model": model_facts(model),
        "versions": {
            "splitnet": _build_info.VERSION,
            "torch": str(torch.__version__),
            "python": platform.python_version(),
        },
        "created": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "interrupted": interrupted,
        "sweep": json.loads(sweep.to_json()),
        "codecs": [_effect(model.layers, one) for one in calibration.codecs] if calibration else [],
        "map": _map(problems[0], is_legal) if problems else None,
        "pareto": [point for index, problem in enumerate(problems) for point in _pareto(index, problem, is_legal)],
    }


IsLegal = Callable[[Sequence[Sequence[int]]], bool]


def _remembered(model: Partitioner) -> IsLegal:
    """Planners ask about the same cuts for every link."""
    known: dict[str, bool] = {}

    def is_legal(heads: Sequence[Sequence[int]]) -> bool:
        key = repr(heads)
        if key not in known:
            known[key] = model.is_legal(heads)
        return known[key]

    return is_legal


def _problem(
    model: Partitioner, sweep: _core.Sweep, link: _core.LinkSweep, codecs: Sequence[_core.CodecProfile]
) -> _core.PlanningProblem:
    """As the sweep saw this link, with the load that it measured."""
    device = _core.Tier(name="device", profile=sweep.device, load_factor=link.device_load_factor)
    worker = _core.Tier(name="worker", profile=sweep.worker, load_factor=link.worker_load_factor)
    problem = _core.PlanningProblem.two_tier(model.layers, device, worker, link.link)
    return problem.replace(codecs=[_core.CodecProfile(), *(codec for codec in codecs if codec.name != "raw")])


def _effect(graph: _core.LayerGraph, calibrated: _core.CalibratedCodec) -> dict[str, Any]:
    profile, effect = calibrated.profile, calibrated.effect
    return {
        "name": profile.name,
        "cut": cut_name(graph, profile.head),
        "ratio": profile.ratio,
        "accuracy_loss": profile.accuracy_loss,
        "agreement": effect.agreement,
        "agreement_low": effect.agreement_low,
        "agreement_high": effect.agreement_high,
        "divergence_nat": effect.divergence_nat,
    }


# ---- The best plan elsewhere.


def _map(problem: _core.PlanningProblem, is_legal: IsLegal) -> dict[str, Any]:
    """Round trip and overhead of the first link, the same bandwidth up and down; the device as it was measured, and
    workers that are slower and faster than it."""
    planner = _core.SequentialPlanner(problem, is_legal)
    link = link_between(problem)
    device, worker = (tier.profile.pass_s for tier in problem.tiers)
    at_worker = _codecs_of_inputs(planner, problem, link)
    cells = []
    for bandwidth in _BANDWIDTHS_BIT_PER_S:
        for ratio in _SPEED_RATIOS:
            rate = bandwidth / 8
            conditions = _core.Conditions(
                link=link.replace(up_bytes_per_s=rate, down_bytes_per_s=rate),
                device_load_factor=1.0,
                worker_load_factor=device / worker / ratio,
            )
            cells.append(
                {
                    "bandwidth_bit_per_s": bandwidth,
                    "speed_ratio": ratio,
                    **_cell(planner, problem, conditions, at_worker),
                }
            )
    return {
        "bandwidth_bit_per_s": _BANDWIDTHS_BIT_PER_S,
        "speed_ratio": _SPEED_RATIOS,
        "rtt_s": link.rtt_s,
        "cells": cells,
    }


def _codecs_of_inputs(
    planner: _core.SequentialPlanner, problem: _core.PlanningProblem, link: _core.LinkProfile
) -> list[int]:
    """Which codecs apply where the inputs go to the worker whole."""
    conditions = _core.Conditions(link=link)
    applying = []
    for index in range(len(problem.codecs)):
        try:
            planner.value(0, index, _core.Objective.latency, conditions)
        except InvalidArgument:
            continue
        applying.append(index)
    return applying


def _cell(
    planner: _core.SequentialPlanner,
    problem: _core.PlanningProblem,
    conditions: _core.Conditions,
    at_worker: Sequence[int],
) -> dict[str, Any]:
    layers = len(problem.graph.layers)
    latency = _core.Objective.latency
    choice = planner.choose(latency, _core.Constraints(), conditions)
    assert choice is not None, "without constraints there is a plan"
    return {
        "cut": cut_name(problem.graph, range(choice.head_layers)),
        "codec": problem.codecs[choice.codec].name,
        "latency_s": choice.value,
        "device_only_s": planner.value(layers, 0, latency, conditions),
        "worker_only_s": min(planner.value(0, codec, latency, conditions) for codec in at_worker),
    }


# ---- Latency against throughput.


def _pareto(index: int, problem: _core.PlanningProblem, is_legal: IsLegal) -> list[dict[str, Any]]:
    front = _core.pareto_front(
        problem, [_core.Objective.latency, _core.Objective.throughput], _core.Constraints(), is_legal
    )
    return [
        {
            "link": index,
            "cut": cut_of(problem.graph, candidate.assignment),
            "codec": candidate.assignment.codecs[0] if candidate.assignment.codecs else "raw",
            "latency_s": candidate.cost.latency_s,
            "throughput_per_s": 1 / candidate.cost.period_s,
            "bytes_up": sum(hop.bytes_up for hop in candidate.cost.hops),
            "accuracy_loss": candidate.cost.accuracy_loss,
        }
        for candidate in front
    ]
