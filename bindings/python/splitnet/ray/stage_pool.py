# SPDX-License-Identifier: Apache-2.0
"""The replicas of one stage: who gets the next pass, and what happens when one dies."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

from splitnet.errors import Error, Internal, Unavailable
from splitnet.ray.asking import asking_ray
from splitnet.ray.stage_actor import StageActor
from splitnet.ray.values import Packed

_log = logging.getLogger("splitnet.ray")
_Actor = ray.remote(StageActor)
_RESTART_PAUSE_S = 1.0


@dataclass(frozen=True)
class StageStats:
    """Of one stage of a pipeline."""

    replicas: int  #: That there should be.
    ready: int  #: That take passes now; the others start.
    under_way: int  #: Passes that wait or run, those for which nobody waits any more among them.
    passes: int  #: That gave an answer.
    deaths: int  #: Replicas that died, and were replaced.
    redone: int  #: Passes that were done again, because the replica that had them died.


@dataclass(frozen=True)
class PoolOptions:
    """What the actors of a stage are started with, and how long to try."""

    pipeline: str
    threads: int
    max_tries: int
    start_timeout_s: float
    actor: Mapping[str, Any]  #: For `ActorClass.options`.


@dataclass(eq=False)
class _Replica:
    """An actor, and the calls that it has, oldest first: it works in this order."""

    actor: Any
    is_ready: bool = False
    is_retired: bool = False
    calls: dict[asyncio.Future[Any], None] = field(default_factory=dict)
    suspect: asyncio.Future[Any] | None = None  #: The call that it worked on when it died.


class StagePool:
    """Belongs to one event loop, on whose thread everything but `stats` has to be called."""

    def __init__(self, index: int, file: Any, options: PoolOptions) -> None:
        """`file`: in the object store, what Stage.save wrote."""
        self.index = index
        self._name = f"stage {index}"
        self._file = file
        self._options = options
        self._replicas: list[_Replica] = []
        self._retired: set[_Replica] = set()  # Those that only finish what they have.
        self._wanted = 0
        self._scaling = asyncio.Lock()
        self._someone_is_ready = asyncio.Event()
        self._starting: set[asyncio.Task[None]] = set()
        self._waiting = 0
        self._passes = self._deaths = self._redone = 0

    @property
    def wanted(self) -> int:
        """How many replicas there should be."""
        return self._wanted

    @property
    def ongoing(self) -> int:
        """Passes that wait or run; those at replicas that only finish what they have are not among them."""
        return self._waiting + sum(len(one.calls) for one in list(self._replicas))

    def stats(self) -> StageStats:
        """May be called on any thread."""
        replicas = list(self._replicas)
        return StageStats(
            replicas=len(replicas),
            ready=sum(one.is_ready for one in replicas),
            under_way=self.ongoing,
            passes=self._passes,
            deaths=self._deaths,
            redone=self._redone,
        )

    async def scale(self, count: int) -> None:
        """Returns when so many are ready. Those that are too many finish what they have. Raises Unavailable."""
        async with self._scaling:
            before, self._wanted = self._wanted, count
            while len(self._replicas) > count:
                self._retire(min(self._replicas, key=lambda one: (one.is_ready, len(one.calls))))
            missing = count - len(self._replicas)
            added: list[_Replica] = []
            try:
                while len(added) < missing:
                    added.append(self._new_replica())
                await asyncio.wait_for(self._start_all(added), self._options.start_timeout_s)
            except asyncio.TimeoutError:
                raise Unavailable(self._not_started(len(added))) from None
            except RayError as error:
                raise Unavailable(f"stage {self.index}: an actor could not be started: {error}") from None
            finally:
                late = [one for one in added if not one.is_ready and one.suspect is None]
                for replica in late:
                    self._retire(replica)
                if late or len(added) < missing:  # What there was before stays, if it has to be started anew too.
                    self._wanted = max(min(before, count), len(self._replicas))

    def _not_started(self, count: int) -> str:
        """In words. Raises Unavailable: Ray can't say any more what is free."""
        with asking_ray(self._name):
            free = ray.available_resources()  # type: ignore[no-untyped-call]
        wanted = {"num_cpus": self._options.threads, **self._options.actor}
        return (
            f"stage {self.index}: {count} actors with {wanted} were not ready in {self._options.start_timeout_s} s; "
            f"the cluster has free: {free}"
        )

    async def run(self, inputs: Any) -> tuple[Any, Packed]:
        """One pass: the boundary, which stays in the object store, and the results.

        Done again by another replica when one dies. A pass over which `max_tries` replicas died ends with Internal;
        one that merely waited there is not blamed.
        """
        blamed = 0
        while True:
            replica = await self._least_busy()
            if blamed and not await self._answers(replica):
                continue
            with asking_ray(self._name):
                boundary, results = replica.actor.run.options(num_returns=2).remote(inputs)
            call = self._called(replica, results)
            try:
                known = await asyncio.shield(call)
                self._passes += 1
                return boundary, known
            except asyncio.CancelledError:
                # The oldest runs, and can't be stopped; cancelled, it would not say when the actor dies of it.
                if call is not next(iter(replica.calls), call):
                    ray.cancel(results)
                raise
            except RayTaskError as error:
                raise _of_stage(error, self.index) from None
            except RayActorError as error:
                blamed += replica.suspect is call
                if blamed == self._options.max_tries:
                    raise Internal(f"stage {self.index}: {blamed} replicas died over this request: {error}") from None
                self._redone += 1
            except RayError as error:
                raise Unavailable(f"stage {self.index}: {error}") from None

    async def _least_busy(self) -> _Replica:
        """Waits while all of them start. Raises Unavailable."""
        while not (ready := [one for one in self._replicas if one.is_ready]):
            self._waiting += 1
            try:
                await asyncio.wait_for(self._someone_is_ready.wait(), self._options.start_timeout_s)
            except asyncio.TimeoutError:
                raise Unavailable(self._not_started(len(self._replicas))) from None
            finally:
                self._waiting -= 1
        return min(ready, key=lambda one: len(one.calls))

    async def _answers(self, replica: _Replica) -> bool:
        """Asked for a pass that is suspected already: a replica that had died before must not count against it."""
        with asking_ray(self._name):
            answer = replica.actor.ready.remote()
        try:
            await asyncio.shield(self._called(replica, answer))
        except RayActorError:
            return False
        except RayError as error:
            raise Unavailable(f"stage {self.index}: {error}") from None
        return replica.is_ready

    def _called(self, replica: _Replica, result: Any) -> asyncio.Future[Any]:
        """The call is the replica's until it has ended there, whether somebody still waits for it or not."""
        call = asyncio.wrap_future(result.future())
        replica.calls[call] = None
        call.add_done_callback(functools.partial(self._has_ended, replica))
        return call

    def _has_ended(self, replica: _Replica, call: asyncio.Future[Any]) -> None:
        error = None if call.cancelled() else call.exception()
        if isinstance(error, RayActorError) and replica.suspect is None and call in replica.calls:
            self._has_died(replica, error)
        replica.calls.pop(call, None)
        self._end_if_retired(replica)

    def _new_replica(self) -> _Replica:
        options = self._options
        actor = _Actor.options(**{"num_cpus": options.threads, **options.actor})
        with asking_ray(self._name):
            replica = _Replica(actor.remote(self._file, options.threads, options.pipeline))
        self._replicas.append(replica)
        return replica

    async def _start_all(self, replicas: Sequence[_Replica]) -> None:
        await asyncio.gather(*(self._start(one) for one in replicas))

    async def _start(self, replica: _Replica) -> None:
        with asking_ray(self._name):
            is_started = replica.actor.ready.remote()
        await is_started
        if not replica.is_retired:
            replica.is_ready = True
            self._someone_is_ready.set()

    def _has_died(self, replica: _Replica, error: RayActorError) -> None:
        """Blames the call that it worked on, and has another one started."""
        replica.suspect = next(iter(replica.calls))
        self._deaths += 1
        _log.warning("stage %d lost a replica, another one is started: %s", self.index, error)
        self._remove(replica)
        if not replica.is_retired:
            task = asyncio.ensure_future(self._replace())
            self._starting.add(task)
            task.add_done_callback(self._starting.discard)

    async def _replace(self) -> None:
        """Tries until one has started, or is one too many; passes that wait for it give up by themselves."""
        while len(self._replicas) < self._wanted and ray.is_initialized():
            try:
                await self._start_another()
                return
            except Exception as error:  # Whatever it is: the stage would lack one for ever.
                found = f"{type(error).__name__}: {error}"
                _log.warning("stage %d: a replica could not be started: %s", self.index, found)
                await asyncio.sleep(_RESTART_PAUSE_S)

    async def _start_another(self) -> None:
        """One that is retired while it starts needs no more."""
        replica = self._new_replica()
        try:
            await self._start(replica)
        except Exception:
            if not replica.is_retired:
                self._retire(replica)
                raise

    def _remove(self, replica: _Replica) -> None:
        replica.is_ready = False
        if replica in self._replicas:
            self._replicas.remove(replica)
        if not any(one.is_ready for one in self._replicas):
            self._someone_is_ready.clear()

    def _retire(self, replica: _Replica) -> None:
        self._remove(replica)
        if not replica.is_retired:
            replica.is_retired = True
            self._retired.add(replica)
        self._end_if_retired(replica)

    def _end_if_retired(self, replica: _Replica) -> None:
        if replica in self._retired and not replica.calls:
            self._retired.remove(replica)
            if not ray.is_initialized():  # Its actors have ended with it; asked now, it would begin anew by itself.
                return
            try:
                ray.kill(replica.actor)
            except Exception as error:  # Without that it ends when nobody has its handle any more.
                _log.warning("stage %d: a replica could not be ended: %s", self.index, error)

    def close(self) -> None:
        """Ends the actors with what they do."""
        for task in self._starting:
            task.cancel()
        for replica in [*self._replicas, *self._retired]:
            calls, replica.calls = replica.calls, {}
            self._retire(replica)
            for call in calls:
                call.cancel()


def _of_stage(error: RayTaskError, index: int) -> Error:
    """What the stage raised in its process, as if it had been raised here."""
    cause = error.cause
    return cause if isinstance(cause, Error) else Internal(f"stage {index}: {type(cause).__name__}: {cause}")
