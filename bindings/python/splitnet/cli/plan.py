# SPDX-License-Identifier: Apache-2.0
"""`splitnet plan`: which cut and codec is best, or that none is."""

from __future__ import annotations

import json as json_format
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from splitnet.cli.failures import Failure, worker_failures
from splitnet.cli.inputs import load_model
from splitnet.cli.link import facts_of
from splitnet.cli.options import (
    CaFile,
    CalibrationFile,
    Codecs,
    Endpoint,
    InputFile,
    Inputs,
    Json,
    ModelFile,
    Objective,
    Threads,
    TokenFile,
    parsed_or_none,
)
from splitnet.cli.output import emit, print_json
from splitnet.cli.progress import named_progress
from splitnet.cli.workers import calibration_of, check_known_effect, codec_profiles, registry_of, token_of
from splitnet.model_facts import model_facts
from splitnet.units import parse_time

if TYPE_CHECKING:
    import splitnet


def command(
    model: ModelFile,
    worker: Endpoint,
    inputs: Inputs = None,
    input_file: InputFile = None,
    objective: Annotated[Objective, typer.Option(help="What to make small.")] = Objective.latency,
    max_accuracy_loss: Annotated[
        float | None, typer.Option(min=0, max=1, metavar="SHARE", help="Of the answers that may change, as 0.005.")
    ] = None,
    max_latency: Annotated[
        str | None, typer.Option(metavar="TIME", help="That one inference may take, as 100ms.")
    ] = None,
    min_head_layers: Annotated[
        int, typer.Option(min=0, help="Privacy: whatever is sent has gone through so many layers here.")
    ] = 0,
    calibration: CalibrationFile = None,
    codecs: Codecs = None,
    device_profile: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What `splitnet profile --output` wrote, instead of measuring.")
    ] = None,
    threads: Threads = 0,
    rows: Annotated[int, typer.Option(min=0, help="Of the table: the best so many plans.")] = 20,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
    json: Json = False,
) -> None:
    """Measure this machine, a worker and the link, and say which plan is best, or not to split.

    The table has every term of the best plans, and what device only and worker only would take.
    """
    max_latency_s = parsed_or_none("--max-latency", max_latency, parse_time)
    if max_accuracy_loss is not None:
        check_known_effect(codecs or ())
    part = load_model(model, inputs, input_file)
    device = _device(device_profile, part)
    known = calibration_of(calibration, part)
    import splitnet

    with worker_failures(worker, model, inputs or ()), named_progress("measuring device, worker and link") as step:
        plan = splitnet.plan(
            part,
            worker,
            objective.value,
            max_accuracy_loss=max_accuracy_loss,
            max_latency_s=max_latency_s,
            min_head_layers=min_head_layers,
            codecs=codec_profiles(part, codecs or ()),
            calibration=known,
            planning=splitnet.TwoTierOptions(
                device=device,
                device_options=splitnet.ProfileOptions(
                    progress=lambda done, total: step("measuring this machine", done, total)
                ),
            ),
            threads=threads or device.profile.threads,
            token=token_of(token_file),
            registry=registry_of(ca_file),
        )
    if json:
        print_json(document_of(part, plan))
    else:
        emit(plan.explain(rows).rstrip())
    if plan.plan.chosen is None:
        raise Failure(plan.plan.infeasible, "wider bounds, or a --calibration")


def _device(file: Path | None, part: splitnet.Partitioner) -> splitnet.Tier:
    """With a profile it need not be measured; plans are then for as many threads as the profile."""
    import splitnet

    if file is None:
        return splitnet.Tier(name="device", profile=splitnet.DeviceProfile(threads=0))
    profile = splitnet.DeviceProfile.from_file(str(file))
    profile.check_fits(part.layers)
    return splitnet.Tier(name="device", profile=profile)


def document_of(part: splitnet.Partitioner, plan: splitnet.TwoTierPlan) -> dict[str, Any]:
    """What `--json` prints: all candidates with their terms, and what they were made from."""
    device, worker = plan.problem.tiers
    found, problem = plan.plan, plan.problem

    def facts(candidate: splitnet.Candidate | None) -> dict[str, Any] | None:
        return None if candidate is None else candidate_facts(problem, candidate)

    return {
        "schema_version": 1,
        "model": model_facts(part),
        "worker": plan.worker,
        "objective": found.objective.name,
        "constraints": {
            "max_latency_s": plan.constraints.max_latency_s,
            "max_accuracy_loss": plan.constraints.max_accuracy_loss,
            "min_head_layers": plan.constraints.min_head_layers,
        },
        "chosen": facts(found.chosen),
        "infeasible": found.infeasible or None,
        "device_only": facts(found.device_only),
        "worker_only": facts(found.worker_only),
        "worker_only_compressed": facts(found.worker_only_compressed),
        "candidates": [candidate_facts(problem, candidate) for candidate in found.candidates],
        "link": facts_of(plan.link),
        "device_profile": json_format.loads(device.profile.to_json()),
        "worker_profile": json_format.loads(worker.profile.to_json()),
    }


def candidate_facts(problem: splitnet.PlanningProblem, candidate: splitnet.Candidate) -> dict[str, Any]:
    """A plan with every term: seconds and bytes; those of the link are null where nothing is sent."""
    from splitnet.plan_table import cut_of

    assignment, cost = candidate.assignment, candidate.cost
    hop = cost.hops[0] if cost.hops else None
    layers = len(problem.graph.layers)
    return {
        "cut": cut_of(problem.graph, assignment),
        "head_layers": len(assignment.heads[0]) if assignment.heads else layers,
        "codec": assignment.codecs[0] if assignment.codecs else "raw",
        "latency_s": cost.latency_s,
        "period_s": cost.period_s,
        "head_s": cost.stages[0].compute_s,
        "encode_s": hop.encode_s if hop else None,
        "overhead_s": hop.overhead_s if hop else None,
        "rtt_s": hop.rtt_s if hop else None,
        "up_s": hop.up_s if hop else None,
        "decode_s": hop.decode_s if hop else None,
        "down_s": hop.down_s if hop else None,
        "tail_s": cost.stages[1].compute_s if hop else None,
        "boundary_bytes": hop.raw_bytes if hop else None,
        "bytes_up": hop.bytes_up if hop else None,
        "bytes_down": hop.bytes_down if hop else None,
        "accuracy_loss": cost.accuracy_loss,
        "violates": candidate.violates or None,
    }
