# SPDX-License-Identifier: Apache-2.0
"""A pipeline of actors: one for each stage of a model, or several."""

from __future__ import annotations

import asyncio
import concurrent.futures
import tempfile
import threading
import time
from collections import deque
from collections.abc import Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import ray

from splitnet import _core
from splitnet.arguments import check_model
from splitnet.errors import Cancelled, DeadlineExceeded, InvalidArgument, Unavailable
from splitnet.event_loop import in_event_loop
from splitnet.partitioner import CutLike, Partitioner, as_cut
from splitnet.ray.asking import asking_ray
from splitnet.ray.autoscaling import LOOK_EVERY_S, AutoscalingConfig, Past, autoscaling_of, look
from splitnet.ray.stage_pool import PoolOptions, StagePool, StageStats
from splitnet.ray.values import Packed, handed_over, pack, unpack

_T = TypeVar("_T")


@dataclass(frozen=True)
class PipelineStats:
    """Counters since the pipeline was opened, and what it does now."""

    answered: int
    failed: int  #: With an error, the deadline or a cancelling among them.
    in_flight: int
    stages: list[StageStats]


class Pipeline:
    """A model cut into stages, each in actors of a Ray cluster: for throughput, and for models that no machine holds.

    `cuts` in order give one stage more; none of them: the whole model in one. `replicas` says how many actors each stage
    has, or one number for all; `scale` changes it. `threads` is how many a pass uses, and how many processors an actor
    asks Ray for unless `actor_options` (for `ActorClass.options`: resources, placement, …; one mapping, or one for each
    stage) say otherwise. Answers are bit for bit those of the model in one piece with as many threads.

    `autoscaling_config` has the load change the number of actors: a mapping for all stages, or one for each, None for a
    stage that keeps its own. The words and defaults are Ray Serve's: `max_replicas` (has to be there), `min_replicas`
    (1, and at least 1), `target_ongoing_requests` (2), `upscale_delay_s` (30), `downscale_delay_s` (600). A stage with n
    requests that wait or run there should have ceil(n / target_ongoing_requests) actors, within the bounds. It gets more
    when it should have had more at every look, ten in a second, for `upscale_delay_s`, and fewer likewise, by the
    smallest change of those looks. While actors that it should have more start, up to `start_timeout_s`, there are no looks
    at it. It begins with `replicas`, or `min_replicas` where that is more.

    Boundaries go from actor to actor through Ray's object store, small inputs with the call instead. At most
    `max_in_flight` requests are under way, by default two for each actor that there can be (`target_ongoing_requests`
    where that is more); further ones wait.

    That an actor has died is known from the request that it has, or else from the next one that it gets: `stats` counts
    it as ready until then. Another one is started, and its requests are done again by others. A request over which
    `max_tries` actors died is given up (`Internal`). `deadline_s` counts from the call.

    Ray has to be started (`ray.init`), and the machines of the cluster need splitnet of the same version. The actors end
    with the pipeline, or with Ray: a request after that ends with Unavailable. Thread-safe. Raises InvalidArgument,
    UnsupportedModel (a refused cut), Unavailable (Ray is not started, its object store is full, the actors were not ready
    in `start_timeout_s`: there are no processors left, say).
    """

    def __init__(
        self,
        model: _core.Model,
        cuts: Sequence[CutLike] = (),
        *,
        replicas: int | Sequence[int] = 1,
        autoscaling_config: Mapping[str, Any] | Sequence[Mapping[str, Any] | None] | None = None,
        threads: int = 1,
        max_in_flight: int | None = None,
        deadline_s: float | None = None,
        max_tries: int = 3,
        start_timeout_s: float = 60,
        name: str | None = None,
        actor_options: Mapping[str, Any] | Sequence[Mapping[str, Any]] = (),
    ) -> None:
        check_model(model)
        if not ray.is_initialized():
            raise Unavailable("Ray is not started, expected ray.init() before")
        stages = model.stages([as_cut(cut) for cut in cuts], _core.StageOptions(threads=threads))
        counts = [_count(one) for one in _for_each_stage(replicas, len(stages), "replicas")]
        scalings = _for_each_stage(autoscaling_config, len(stages), "autoscaling_config")
        self._autoscaling = [autoscaling_of(one) for one in scalings]
        counts = [one.at_first(count) if one else count for count, one in zip(counts, self._autoscaling, strict=True)]
        options = _for_each_stage(actor_options or {}, len(stages), "actor_options")
        if min(threads, max_tries, 1 if max_in_flight is None else max_in_flight) < 1:
            raise InvalidArgument(
                f"threads is {threads}, max_tries {max_tries}, max_in_flight {max_in_flight}, expected at least 1"
            )
        self._model = model
        self._infos = [stage.info for stage in stages]
        self._name = name or (model.name if isinstance(model, Partitioner) else "model")
        self._deadline_s = deadline_s
        self._max_in_flight = _most_in_flight(max_in_flight, counts, self._autoscaling)
        self._places = asyncio.Semaphore(self._max_in_flight)
        self._requests: set[asyncio.Task[Any]] = set()
        self._scalings: set[asyncio.Task[Any]] = set()
        self._answered = self._failed = 0
        self._is_closed = False
        self._closing = threading.Lock()
        self._pools = [
            StagePool(index, file, PoolOptions(self._name, threads, max_tries, start_timeout_s, actor))
            for index, (file, actor) in enumerate(zip(_stored(stages), options, strict=True))
        ]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="splitnet-ray", daemon=True)
        self._thread.start()
        try:
            self._in_loop(self._open(counts)).result()
        except BaseException:
            self.close()
            raise

    async def _open(self, counts: Sequence[int]) -> None:
        await self._scale(dict(enumerate(counts)))
        for pool, scaling in zip(self._pools, self._autoscaling, strict=True):
            if scaling:
                self._scalings.add(asyncio.ensure_future(self._autoscale(pool, scaling)))

    async def _autoscale(self, pool: StagePool, scaling: AutoscalingConfig) -> None:
        """Not only until it is cancelled: asyncio's wait_for may miss that, before Python 3.12."""
        past: Past | None = None
        while ray.is_initialized() and not self._is_closed:
            past = await look(pool, scaling, past)
            await asyncio.sleep(LOOK_EVERY_S)

    async def _scale(self, counts: Mapping[int, int]) -> None:
        """By the stages' numbers."""
        task = asyncio.current_task()
        assert task is not None
        self._scalings.add(task)
        try:
            await asyncio.gather(*(self._pools[stage].scale(count) for stage, count in counts.items()))
        finally:
            self._scalings.discard(task)

    def __call__(self, *inputs: Any) -> Any:
        """What the model gives for these inputs."""
        return self.run(*inputs)

    def run(self, *inputs: Any, deadline_s: float | None = None) -> Any:
        """As a call, with a deadline of its own."""
        self._check_may_wait()
        return self.submit(*inputs, deadline_s=deadline_s).result()

    def submit(self, *inputs: Any, deadline_s: float | None = None) -> concurrent.futures.Future[Any]:
        """The output to come; `asyncio.wrap_future` makes it one of asyncio's. Every error arrives through it.

        Its callbacks run on the thread that all requests need: they must not take long, and may call `submit`, but nothing
        of the pipeline that waits (a call, `run`, `map`, `scale`, `close`), which raises InvalidArgument there.

        Waits for a place when `max_in_flight` are under way (back-pressure), and then no longer needs the inputs. Where
        an asyncio loop runs it returns at once: leave the inputs as they are until the output is there.
        """
        packed = pack(inputs)
        longest_s = self._deadline_s if deadline_s is None else deadline_s
        taken = threading.Event()
        future = self._in_loop(self._request(packed, longest_s, time.monotonic(), taken))
        if not in_event_loop():
            taken.wait()
        return future

    def map(self, inputs: Iterable[Any], *, in_flight: int | None = None) -> Iterator[Any]:
        """The outputs for many inputs, in their order, pipelined; each input is a tensor or a tuple of inputs.

        At most `in_flight` are under way (by default `max_in_flight`). Raises, at its place, what a request failed with.
        """
        self._check_may_wait()
        most = self._max_in_flight if in_flight is None else in_flight
        if most < 1:
            raise InvalidArgument(f"in_flight is {in_flight}, expected at least 1")
        under_way: deque[concurrent.futures.Future[Any]] = deque()
        try:
            for one in inputs:
                under_way.append(self.submit(*(one if isinstance(one, tuple) else (one,))))
                if len(under_way) == most:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        finally:
            for future in under_way:
                future.cancel()

    def scale(self, stage: int, replicas: int) -> None:
        """From now on the stage (from 0) has so many actors; returns when they are ready.

        Those that are too many finish what they have. Raises InvalidArgument (also where the load decides:
        `autoscaling_config`), Unavailable (no room in the cluster), Cancelled (the pipeline was closed).
        """
        self._check_may_wait()
        if not 0 <= stage < len(self._pools):
            raise InvalidArgument(f"stage is {stage}, expected 0 to {len(self._pools) - 1}")
        if scaling := self._autoscaling[stage]:
            raise InvalidArgument(
                f"stage {stage} scales by itself, from {scaling.min_replicas} to {scaling.max_replicas} actors; expected "
                "one without autoscaling_config"
            )
        scaled = self._in_loop(self._scale({stage: _count(replicas)}))
        try:
            scaled.result()
        except concurrent.futures.CancelledError:
            raise Cancelled("the pipeline was closed") from None

    @property
    def stats(self) -> PipelineStats:
        """Counters since it was opened, and what it does now."""
        return PipelineStats(self._answered, self._failed, len(self._requests), [pool.stats() for pool in self._pools])

    async def _request(self, packed: Packed, longest_s: float | None, begun_s: float, taken: threading.Event) -> Any:
        task = asyncio.current_task()
        assert task is not None
        self._requests.add(task)
        left_s = None if longest_s is None else longest_s - (time.monotonic() - begun_s)
        try:
            output = await asyncio.wait_for(self._output(packed, taken), left_s)
            self._answered += 1
            return output
        except BaseException as error:
            self._failed += 1
            if isinstance(error, asyncio.TimeoutError):
                raise DeadlineExceeded(f"no answer in {longest_s} s") from None
            if isinstance(error, asyncio.CancelledError) and self._is_closed:
                raise Cancelled("the pipeline was closed") from None
            raise
        finally:
            taken.set()
            self._requests.discard(task)

    async def _output(self, packed: Packed, taken: threading.Event) -> Any:
        async with self._places:
            boundary = handed_over(packed)
            del packed
            taken.set()
            slots: dict[int, Any] = {}
            for pool, info in zip(self._pools, self._infos, strict=True):
                boundary, results = await pool.run(boundary)
                slots.update(zip(info.result_slots, unpack(results, copy=True), strict=True))
            return self._model.assemble([slots[number] for number in range(len(slots))])

    def _check_may_wait(self) -> None:
        """On the loop's thread, what is waited for would never be done."""
        if threading.current_thread() is self._thread:
            raise InvalidArgument("found a callback of a future that waits for its pipeline, expected another thread")

    def _in_loop(self, work: Coroutine[Any, Any, _T]) -> concurrent.futures.Future[_T]:
        with self._closing:  # What comes after the end would never be done.
            if self._is_closed:
                work.close()
                raise Cancelled("the pipeline is closed")
            return asyncio.run_coroutine_threadsafe(work, self._loop)

    def __repr__(self) -> str:
        stages = ", ".join(f"{one.ready} of {one.replicas}" for one in self.stats.stages)
        return f"<Pipeline {self._name}: {self._answered} answered, {self._failed} failed; actors ready: {stages}>"

    def close(self) -> None:
        """Ends what is in flight with Cancelled, and the actors. Idempotent."""
        self._check_may_wait()
        with self._closing:
            if self._is_closed:
                return
            self._is_closed = True
            end = asyncio.run_coroutine_threadsafe(self._end(), self._loop)
        end.result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        under_way = [*self._requests, *self._scalings]
        for one in under_way:
            one.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        for pool in self._pools if ray.is_initialized() else []:
            pool.close()

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _stored(stages: Sequence[_core.Stage]) -> Iterator[Any]:
    """What each stage saves, in the object store. Raises Unavailable."""
    with tempfile.TemporaryDirectory() as folder:
        for stage in stages:
            path = Path(folder) / "stage"
            stage.save(str(path))
            data = path.read_bytes()
            with asking_ray(f"stage {stage.info.index}"):
                stored = ray.put(data)
            yield stored


def _for_each_stage(value: Any, stages: int, name: str) -> list[Any]:
    """One value for all, or a sequence with one for each. Raises InvalidArgument."""
    if value is None or isinstance(value, int | Mapping):
        return [value] * stages
    if len(value) != stages:
        raise InvalidArgument(f"{name} has {len(value)} values, expected one for each of {stages} stages")
    return list(value)


def _count(replicas: int) -> int:
    if replicas < 1:
        raise InvalidArgument(f"replicas is {replicas}, expected at least 1")
    return replicas


def _most_in_flight(asked: int | None, counts: Sequence[int], scalings: Sequence[AutoscalingConfig | None]) -> int:
    """By default what all stages can have. Raises InvalidArgument: too few for a stage to get its actors."""
    for stage, scaling in enumerate(scalings):
        if scaling and asked is not None and asked < scaling.needed_ongoing:
            raise InvalidArgument(
                f"max_in_flight is {asked}, expected at least {scaling.needed_ongoing}: with fewer requests stage {stage} "
                f"never has its {scaling.max_replicas} actors"
            )
    stages = zip(counts, scalings, strict=True)
    return asked or sum(one.most_ongoing if one else 2 * count for count, one in stages)
