# SPDX-License-Identifier: Apache-2.0
"""What the planner picks on other links and on slower devices, beside sending the photo."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import splitnet
from emotion.local_platform import LocalPlatform
from splitnet.names import cut_name, short_codec

UP_MEGABITS_PER_S = (0.5, 2, 10, 50)
RTT_S = 0.02  #: Of all these links.
SLOWER = (1, 10, 50, 200)  #: Times slower than this device: 10 is about a single-board computer, 200 a microcontroller.


@dataclass(frozen=True)
class Pick:
    """Predicted, for the network alone: the search for faces is left out on both sides."""

    up_megabits_per_s: float
    slower: float
    codecs: str  #: That it may choose from: "raw", or "all".
    cut: str
    codec: str
    sent_bytes: float
    latency_s: float
    five_blocks_s: float  #: The cut with five blocks on the worker, raw: the one that the planner must not fall for.
    photo_s: (
        float  #: Sending the photo, and running all layers on the worker: the planner may not, for the photo stays.
    )
    best_s: float  #: The fastest of all that it may, found by trying each.

    @property
    def is_mistake(self) -> bool:
        """There is something faster that keeps the photo here."""
        return self.latency_s > self.best_s * (1 + 1e-9)

    def is_private_at_a_price(self, photo_bytes: int) -> bool:
        """It sends more than the photo has and takes longer than that: what it costs to keep the photo here."""
        return self.sent_bytes > photo_bytes and self.latency_s > self.photo_s


def planner_picks(platform: LocalPlatform, photo_bytes: int) -> Iterator[Pick]:
    """For each link and device, with and without codecs. Needs the platform's plan, from which compute times are taken."""
    assert platform.plan is not None
    problem = platform.plan.problem
    device, worker = problem.tiers
    for up in UP_MEGABITS_PER_S:
        link = splitnet.LinkProfile(rtt_s=RTT_S, up_bytes_per_s=up * 125e3, down_bytes_per_s=4 * up * 125e3)
        for slower in SLOWER:
            for codecs in ("raw", "all"):
                other = problem.replace(
                    tiers=[device.replace(profile=device.profile.scaled(slower)), worker],
                    links=[[link]],
                    codecs=[one for one in problem.codecs if codecs == "all" or one.name == "raw"],
                )
                yield _pick(platform, other, codecs, up, slower, photo_bytes)


def _pick(
    platform: LocalPlatform,
    problem: splitnet.PlanningProblem,
    codecs: str,
    up: float,
    slower: float,
    photo_bytes: int,
) -> Pick:
    settings = platform.settings
    planner = splitnet.SequentialPlanner(problem, platform.part.is_legal)
    constraints = splitnet.Constraints(
        min_head_layers=settings.min_head_layers, max_accuracy_loss=settings.max_accuracy_loss
    )
    plan = planner.plan(splitnet.Objective.latency, constraints)
    assert plan.chosen is not None
    assignment, cost = plan.chosen.assignment, plan.chosen.cost
    allowed = [
        _cost_s(problem, layers, codec.name)
        for layers in range(settings.min_head_layers, platform.layers)
        for codec in problem.codecs
        if codec.head in (None, list(range(layers))) and codec.accuracy_loss <= settings.max_accuracy_loss
    ]
    here_s = splitnet.cost_of(problem, splitnet.Assignment()).latency_s
    link = problem.links[0][0]
    assert link is not None
    return Pick(
        up_megabits_per_s=up,
        slower=slower,
        codecs=codecs,
        cut=cut_name(problem.graph, assignment.heads[0] if assignment.heads else range(platform.layers)),
        codec=short_codec(assignment.codecs[0]) if assignment.codecs else "",
        sent_bytes=cost.hops[0].bytes_up if cost.hops else 0,
        latency_s=cost.latency_s,
        five_blocks_s=_cost_s(problem, platform.blocks[-5].first, "raw"),
        photo_s=link.rtt_s + photo_bytes / link.up_bytes_per_s + problem.tiers[1].profile.pass_s,
        best_s=min(here_s, *allowed),
    )


def _cost_s(problem: splitnet.PlanningProblem, head_layers: int, codec: str) -> float:
    heads = [list(range(head_layers))]
    return splitnet.cost_of(problem, splitnet.Assignment(tiers=[0, 1], heads=heads, codecs=[codec])).latency_s
