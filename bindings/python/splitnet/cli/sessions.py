# SPDX-License-Identifier: Apache-2.0
"""Opening the session that `splitnet run` asks for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from splitnet.cli.failures import Failure, WrongUsage
from splitnet.cli.progress import waiting
from splitnet.cli.workers import codec_profiles, registry_of, token_of
from splitnet.names import cut_name, short_codec

if TYPE_CHECKING:
    import splitnet


@dataclass(frozen=True)
class Wanted:
    """What the options ask for."""

    worker: str  #: Empty: device only.
    after: str | None
    objective: str | None
    codecs: list[str]
    calibration: splitnet.Calibration | None
    policy: str | None
    threads: int
    token_file: Path | None
    ca_file: Path | None

    def check(self) -> None:
        """Raises WrongUsage: options that do not go together."""
        needs_worker = [self.after, self.objective, self.codecs, self.calibration, self.policy, self.token_file]
        if not self.worker and any(needs_worker):
            raise WrongUsage("without --worker everything runs here, and cut, codec, objective and token mean nothing")
        if self.after and self.objective:
            raise WrongUsage("found --after and --objective, expected one of them: an objective chooses the cut")
        if self.policy and not self.objective:
            raise WrongUsage("--policy needs an --objective to decide by")
        if len(self.codecs) > 1 and not self.objective:
            raise WrongUsage(f"found {len(self.codecs)} codecs, expected one; an --objective chooses among several")


@dataclass(frozen=True)
class Opened:
    """A session, and what it does."""

    session: splitnet.Session
    worker: str
    cut: str
    codec: str
    predicted_s: float | None = None  #: What one inference should take, where there is a plan.
    problem: splitnet.PlanningProblem | None = field(default=None, repr=False)  #: With a policy.

    def plan_of(self, answer: splitnet.Answer) -> tuple[str, str]:
        """Cut and codec of this inference."""
        if self.problem is None:
            return self.cut, self.codec
        choice = answer.decision.choice
        return (
            cut_name(self.problem.graph, range(choice.head_layers)),
            self.problem.codecs[choice.codec].name,
        )


@contextmanager
def open_session(part: splitnet.Partitioner, wanted: Wanted) -> Iterator[Opened]:
    """Closed at the end."""
    opened = _planned(part, wanted) if wanted.objective else _fixed(part, wanted)
    with opened.session:
        yield opened


def _planned(part: splitnet.Partitioner, wanted: Wanted) -> Opened:
    import splitnet

    token, registry = token_of(wanted.token_file), registry_of(wanted.ca_file)
    with waiting("measuring device, worker and link"):
        plan = splitnet.plan(
            part,
            wanted.worker,
            str(wanted.objective),
            codecs=codec_profiles(part, wanted.codecs),
            calibration=wanted.calibration,
            threads=wanted.threads,
            token=token,
            registry=registry,
        )
        session = splitnet.Session(part, plan, policy=wanted.policy, token=token, registry=registry)
    problem = plan.problem if wanted.policy else None
    return Opened(session, wanted.worker, plan.cut, plan.codec, plan.latency_s, problem)


def _fixed(part: splitnet.Partitioner, wanted: Wanted) -> Opened:
    import splitnet

    registry = registry_of(wanted.ca_file)
    codec = wanted.codecs[0] if wanted.codecs else "raw"
    options = splitnet.SessionOptions(registry=registry, codec=codec, threads=wanted.threads)
    if wanted.calibration:
        profile = _calibrated(part, wanted.calibration, codec, wanted.after)
        codec = profile.name
        options = options.replace(
            codec="raw" if profile.refinement else codec, refinement=profile.refinement, codec_tables=profile.tables
        )
    session = splitnet.Session(
        part, worker=wanted.worker, cut=wanted.after, options=options, token=token_of(wanted.token_file)
    )
    if not wanted.worker:
        return Opened(session, "", "device only", "raw")
    return Opened(session, wanted.worker, f"after {wanted.after}" if wanted.after else "worker only", codec)


def _calibrated(
    part: splitnet.Partitioner, calibration: splitnet.Calibration, codec: str, after: str | None
) -> splitnet.CodecProfile:
    """The codec of this name as it was calibrated behind this cut; its tables may be left out of the name."""
    import splitnet

    head = part.layers.resolve(splitnet.Cut.after(after)) if after else []
    here = [one.profile for one in calibration.codecs if one.profile.head == head]
    for profile in here:
        if codec in (profile.name, short_codec(profile.name)):
            return profile
    names = ", ".join(short_codec(profile.name) for profile in here) or "none"
    raise Failure(
        f"the calibration has no codec {codec} for the cut {cut_name(part.layers, head)}",
        f"--codec with one of those calibrated there ({names}), or --objective latency",
    )
