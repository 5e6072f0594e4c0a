# SPDX-License-Identifier: Apache-2.0
"""Measures device, worker and link, and chooses cut and codec, or not to split."""

from __future__ import annotations

from collections.abc import Sequence

from splitnet import _core
from splitnet.arguments import check_codec_profiles, check_endpoint, check_model, given
from splitnet.errors import InvalidArgument
from splitnet.names import cut_name
from splitnet.plan_table import html_of_plan


class TwoTierPlan:
    """Where the parts of a model run, and why: for a device (here) and a worker.

    Holds all that was measured, so that a `Session` opened with it need not measure again. A plain value.
    """

    def __init__(self, problem: _core.PlanningProblem, plan: _core.Plan, worker: str, constraints: _core.Constraints):
        self.problem = problem  #: Profiles, link, codecs: what the plan was made from.
        self.plan = plan  #: All candidates with every term.
        self.worker = worker  #: The worker's endpoint.
        self.constraints = constraints  #: What the plan keeps to.

    @property
    def link(self) -> _core.LinkProfile:
        """Between device and worker, as it was measured."""
        return link_between(self.problem)

    @property
    def chosen(self) -> _core.Candidate:
        """The best candidate. Raises InvalidArgument when none keeps to the constraints, naming the one in the way."""
        if self.plan.chosen is None:
            raise InvalidArgument(self.plan.infeasible)
        return self.plan.chosen

    @property
    def head_layers(self) -> int:
        """How many layers run on the device; all of them: device only, none: worker only."""
        heads = self.chosen.assignment.heads
        return len(heads[0]) if heads else len(self.problem.graph.layers)

    @property
    def is_split(self) -> bool:
        """Whether both sides compute."""
        return 0 < self.head_layers < len(self.problem.graph.layers)

    @property
    def cut(self) -> str:
        """For people: "device only", "worker only", "after features.3"."""
        return cut_name(self.problem.graph, range(self.head_layers))

    @property
    def codec(self) -> str:
        """Of the boundary; raw where nothing is sent."""
        codecs = self.chosen.assignment.codecs
        return codecs[0] if codecs else "raw"

    @property
    def latency_s(self) -> float:
        """What one inference is predicted to take."""
        return self.chosen.cost.latency_s

    def explain(self, rows: int = 20) -> str:
        """A table of the candidates with every term, best first, and a verdict against the three baselines."""
        return self.plan.explain(self.problem, rows)

    def __repr__(self) -> str:
        return self.explain(10)

    def _repr_html_(self) -> str:
        verdict = "".join(self.explain(0).partition("verdict:")[1:])
        return html_of_plan(self.problem, self.plan, verdict)


def link_between(problem: _core.PlanningProblem) -> _core.LinkProfile:
    """Between the first two tiers. Raises InvalidArgument: there is none."""
    link = problem.links[0][0] if problem.links and problem.links[0] else None
    if link is None:
        raise InvalidArgument("the problem has no link between its first two tiers")
    return link


def as_objective(objective: str | _core.Objective) -> _core.Objective:
    """Raises InvalidArgument for an unknown name."""
    if isinstance(objective, _core.Objective):
        return objective
    try:
        return _core.Objective[objective]
    except KeyError:
        known = ", ".join(one.name for one in _core.Objective)
        raise InvalidArgument(f"objective {objective!r} is unknown, expected one of {known}") from None


def plan(
    model: _core.Model,
    worker: str,
    objective: str | _core.Objective = "latency",
    *,
    max_accuracy_loss: float | None = None,
    max_latency_s: float | None = None,
    max_energy_joule: float | None = None,
    max_dollars: float | None = None,
    min_head_layers: int | None = None,
    constraints: _core.Constraints | None = None,
    codecs: Sequence[_core.CodecProfile] = (),
    calibration: _core.Calibration | None = None,
    planning: _core.TwoTierOptions | None = None,
    threads: int | None = None,
    token: str = "",
    registry: _core.TransportRegistry | None = None,
) -> TwoTierPlan:
    """Measures this machine, the worker and the link to it, and chooses the best cut and codec.

    Takes some 20 passes of the model on either machine and seconds on the link, for what `planning` does not give.
    `model` needs example inputs. Codecs to choose from are those of `codecs` and `calibration`, beside raw.
    `constraints` is for bounds that have no keyword of their own. `threads` is what one pass on the device may use.

    Raises InvalidArgument (constraints, codecs, no example inputs), Unavailable (nobody there), Incompatible (the
    worker has another version of the model), and as the worker.
    """
    check_model(model)
    check_endpoint(worker)
    check_codec_profiles(codecs)
    bounds = (constraints or _core.Constraints()).replace(
        **given(
            max_accuracy_loss=max_accuracy_loss,
            max_latency_s=max_latency_s,
            max_energy_joule=max_energy_joule,
            max_dollars=max_dollars,
            min_head_layers=min_head_layers,
        )
    )
    bounds.validate()
    options = planning_options(planning, codecs, calibration, threads)
    with (registry or _core.default_registry()).connect(worker, _core.ConnectOptions(token=token)) as connection:
        problem = _core.profile_two_tiers(model, connection, options)
    planner = _core.SequentialPlanner(problem, lambda heads: model.refusal(heads) is None)
    return TwoTierPlan(problem, planner.plan(as_objective(objective), bounds), worker, bounds)


def planning_options(
    planning: _core.TwoTierOptions | None,
    codecs: Sequence[_core.CodecProfile],
    calibration: _core.Calibration | None = None,
    threads: int | None = None,
) -> _core.TwoTierOptions:
    """What is known already, with these codecs beside those that stand there, and threads for the device."""
    options = planning or _core.TwoTierOptions()
    wanted = {codec_key(codec): codec for codec in [*options.codecs, *codecs]}
    if calibration is not None:
        wanted |= {codec_key(codec): codec for codec in calibration.profiles()}
    device = None if threads is None else options.device_options.replace(stage=_core.StageOptions(threads=threads))
    return options.replace(**given(codecs=list(wanted.values()), device_options=device))


def codec_key(codec: _core.CodecProfile) -> tuple[str, tuple[int, ...] | None]:
    """A codec may have a profile for each cut."""
    return codec.name, None if codec.head is None else tuple(codec.head)
