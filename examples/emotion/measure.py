# SPDX-License-Identifier: Apache-2.0
"""Measures what the report that this example follows did: how many blocks in the cloud, cold and hot.

Both ways, the photo sent whole and the network split, go over the same link (wire.py) to functions and buckets on this
machine (local_aws). Each time goes from the photo's bytes to the answer, the search for faces included.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

import splitnet
from common import prices
from common.environment import in_environment
from emotion.cloud import BLOCKS_IN_CLOUD, BUCKET, MEMORY_MEGABYTES, TAIL, WHOLE
from emotion.emotions import strongest
from emotion.faces import find_faces, open_photo
from emotion.local_platform import Choice, LocalPlatform
from emotion.planner_picks import Pick, planner_picks
from emotion.settings import Settings
from emotion.whole_photo import WholePhoto
from emotion.wire import Wire
from local_aws import Invocation, LocalAws
from splitnet.names import short_codec

WHOLE_PHOTO = "photo sent, all in the cloud"
BLOCKS = {count: f"{count} blocks in the cloud" for count in BLOCKS_IN_CLOUD}


@dataclass(frozen=True)
class Answered:
    """One photo on one way."""

    label: str
    sent_bytes: int
    received_bytes: int
    polls: int = 0  #: Requests to S3 for the answer; 0: it did not go that way.


@dataclass(frozen=True)
class Sample:
    """The same, with what it took."""

    answered: Answered
    total_s: float
    invocations: tuple[Invocation, ...]


@dataclass(frozen=True)
class Dollars:
    """For 1,000 photos."""

    compute: float
    requests: float
    storage: float
    transfer: float

    @property
    def total(self) -> float:
        """All four."""
        return self.compute + self.requests + self.storage + self.transfer


@dataclass(frozen=True)
class Row:
    """One way through the network."""

    name: str
    cold_s: float | None  #: Median; None: nothing of it is in the cloud.
    start_s: float | None  #: Of cold_s, until the function's process asked for work. Median.
    hot_s: float
    sent_bytes: int
    cold_dollars: Dollars | None
    hot_dollars: Dollars
    peak_memory_bytes: int  #: Of the function.
    label: str


@dataclass(frozen=True)
class Measured:
    """All of it."""

    link: str  #: As `shaped://` has it: up=2Mbit,down=8Mbit,delay=10ms.
    photo_bytes: int
    pick: Choice  #: The planner's, which is the last row.
    rows: list[Row]
    picks: list[Pick]

    def problems(self) -> list[str]:
        """What is not as it should be; empty: all is right."""
        sent_photo, *splits = self.rows
        chosen = splits[-1]
        found = [f"{row.name} says {row.label}" for row in splits if row.label != sent_photo.label]
        found += [f"{pick.cut} is not the fastest: {pick}" for pick in self.picks if pick.is_mistake]
        if chosen.sent_bytes > self.photo_bytes and chosen.hot_s > sent_photo.hot_s:
            found.append(f"the planner picked {chosen.name}, which sends more than the photo has and is slower")
        return found


def measure(
    aws: LocalAws,
    settings: Settings,
    link: str,
    rounds: int,
    cold_rounds: int,
    say: Callable[[str], None] = lambda _: None,
) -> Measured:
    """Takes cold and hot rounds of each way in turn, so many; at least one of either. `say` is told what begins.

    The worker and the bucket are those of `aws`.

    Raises RuntimeError (a worker did not answer, a call that should have been cold was not, or the other way round),
    splitnet.InvalidArgument (no such link).
    """
    with _over(splitnet.ShapedOptions.parse(link), aws):
        photo = (settings.models / "emotion_photo.jpg").read_bytes()
        say("measuring this device, the worker and the link")
        of_tail = replace(settings, worker=f"lambda://{TAIL}", memory_megabytes=MEMORY_MEGABYTES)
        with LocalPlatform(of_tail) as platform:
            if platform.plan is None:
                raise RuntimeError(f"no plan: {platform.findings.trouble}")
            pick = platform.chosen
            rows = []
            for name, (function, way) in _ways(platform, photo).items():
                say(f"measuring: {name}")
                rows.append(_row(name, function, _samples(aws, function, way, rounds, cold_rounds), len(photo)))
            say("what the planner picks elsewhere")
            return Measured(link, len(photo), pick, rows, list(planner_picks(platform, len(photo))))


def _ways(platform: LocalPlatform, photo: bytes) -> dict[str, tuple[str, Callable[[], Answered]]]:
    """By name: the function that takes part, and what takes one photo through. Those of the report, the same cuts with
    the codec that the planner takes for them, and at the end the planner's own.
    """
    sender = WholePhoto(BUCKET)

    def whole() -> Answered:
        found = sender.recognise(photo)
        return Answered(strongest(found.probabilities[0]), found.sent_bytes, found.received_bytes, found.polls)

    def split(choice: Choice) -> Callable[[], Answered]:
        def run() -> Answered:
            face = find_faces(open_photo(photo))[0]
            found = platform.recognise(face.pixels, choice)
            if found.trouble:
                raise RuntimeError(found.trouble)
            return Answered(strongest(found.probabilities), found.sent_bytes, found.received_bytes)

        return run

    ways = {WHOLE_PHOTO: (WHOLE, whole)}
    for count, name in BLOCKS.items():
        head_layers = platform.blocks[-count].first
        ways[name] = (TAIL, split(Choice(head_layers, "raw", None, 0)))
        if (best := platform.choice(head_layers)).codec != "raw":
            ways[f"{name}, {short_codec(best.codec)}"] = (TAIL, split(best))
    chosen = platform.chosen
    here = chosen.head_layers == platform.layers
    head = platform.part.layers.layers[chosen.head_layers - 1].name
    ways["planner: " + ("device only" if here else f"cut after {head}, {short_codec(chosen.codec)}")] = (
        TAIL,
        split(chosen),
    )
    return ways


def _samples(
    aws: LocalAws, function: str, way: Callable[[], Answered], rounds: int, cold_rounds: int
) -> tuple[list[Sample], list[Sample]]:
    """Cold ones, if the way goes to the cloud at all, and hot ones."""
    first = _sample(aws, function, way)  # Opens connections.
    cold = []
    for _ in range(cold_rounds if first.invocations else 0):
        aws.recycle(function)
        cold.append(_sample(aws, function, way))
    hot = [_sample(aws, function, way) for _ in range(rounds)]
    if not all(sample.invocations[0].is_cold for sample in cold):
        raise RuntimeError(f"{function}: a call was hot although its execution environments had been ended before")
    if any(call.is_cold for sample in hot for call in sample.invocations):
        raise RuntimeError(f"{function}: a call was cold although it followed another one")
    return cold, hot


def _sample(aws: LocalAws, function: str, way: Callable[[], Answered]) -> Sample:
    """Returns when the function's environment is idle again."""
    before = len(aws.invocations(function))
    started_s = time.monotonic()
    answered = way()
    total_s = time.monotonic() - started_s
    if answered.sent_bytes:
        _until(lambda: len(aws.invocations(function)) > before, f"{function} has no record of the call")
    return Sample(answered, total_s, tuple(aws.invocations(function)[before:]))


def _until(is_so: Callable[[], bool], otherwise: str, timeout_s: float = 10) -> None:
    until_s = time.monotonic() + timeout_s
    while not is_so():
        if time.monotonic() > until_s:
            raise RuntimeError(otherwise)
        time.sleep(0.01)


def _row(name: str, function: str, samples: tuple[list[Sample], list[Sample]], photo_bytes: int) -> Row:
    cold, hot = samples
    stored_bytes = photo_bytes if function == WHOLE else 0
    return Row(
        name=name,
        cold_s=statistics.median(one.total_s for one in cold) if cold else None,
        start_s=statistics.median(one.invocations[0].init_s for one in cold) if cold else None,
        hot_s=statistics.median(one.total_s for one in hot),
        sent_bytes=hot[-1].answered.sent_bytes,
        cold_dollars=_dollars(cold, stored_bytes) if cold else None,
        hot_dollars=_dollars(hot, stored_bytes),
        peak_memory_bytes=max((call.peak_memory_bytes for one in hot for call in one.invocations), default=0),
        label=hot[-1].answered.label,
    )


def _dollars(samples: Sequence[Sample], stored_bytes: int) -> Dollars:
    """Means. A photo that is sent is put by the device and read by the function, the answer put and read likewise."""

    def mean(values: Iterator[float]) -> float:
        return 1000 * statistics.fmean(values)

    calls = mean(float(len(one.invocations)) for one in samples)
    billed = mean(
        sum(prices.function_dollars(call.billed_s, call.memory_megabytes) for call in one.invocations)
        for one in samples
    )
    requests = calls * prices.FUNCTION_REQUEST
    if stored_bytes:
        polls = mean(float(one.answered.polls) for one in samples)
        requests += 1000 * (2 * prices.OBJECT_PUT + prices.OBJECT_GET) + polls * prices.OBJECT_GET
    return Dollars(
        compute=billed - calls * prices.FUNCTION_REQUEST,
        requests=requests,
        storage=1000 * stored_bytes / 1e9 * prices.OBJECT_GIGABYTE_MONTH,
        transfer=mean(float(one.answered.received_bytes) for one in samples) * prices.EGRESS_BYTE,
    )


@contextmanager
def _over(link: splitnet.ShapedOptions, aws: LocalAws) -> Iterator[None]:
    """Within it this process reaches Lambda and S3 over the link."""
    environment = dict(aws.environment)
    with ExitStack() as stack:
        for name in ("AWS_ENDPOINT_URL_LAMBDA", "AWS_ENDPOINT_URL_S3"):
            wire = stack.enter_context(Wire(environment[name].removeprefix("http://"), link))
            environment[name] = f"http://{wire.address}"
        stack.enter_context(in_environment(environment))
        yield
