# SPDX-License-Identifier: Apache-2.0
"""How many actors a stage gets: the decision alone, without Ray and without a clock; and what stays when Ray raises."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
from collections.abc import Generator
from types import SimpleNamespace
from typing import Any

import pytest

import splitnet
from local_ray import ray, serve
from splitnet.ray import stage_pool
from splitnet.ray.autoscaling import AutoscalingConfig, Load, Past, autoscaling_of, look
from splitnet.ray.stage_pool import PoolOptions, StagePool


@pytest.mark.parametrize(
    ("ongoing", "target", "expected"),
    [
        (0, 2, 2), (4, 2, 2), (5, 2, 3), (6, 2, 3), (9, 2, 5), (10, 2, 5), (11, 2, 5), (1000, 2, 5),
        (2, 0.5, 4), (1, 0.3, 4), (3, 1.5, 2), (4, 1.5, 3),
    ],
)  # fmt: skip
def test_without_delays_there_are_as_many_as_the_target_asks_for(ongoing: int, target: float, expected: int) -> None:
    config = AutoscalingConfig(5, 2, target, upscale_delay_s=0, downscale_delay_s=0)
    for before in (2, 3, 4, 5):
        assert config.decide(Load(7.0, ongoing, before), None) == (expected, None)


#: Looks: when, requests, and the replicas from then on. One request for each replica, 3 s up, 5 s down, 1 to 10 replicas.
TRACES: dict[str, list[tuple[float, int, int]]] = {
    "it fits": [(0, 1, 1), (100, 1, 1)],
    "more, when it lasts": [(0, 4, 1), (1, 4, 1), (2.9, 4, 1), (3, 4, 4), (3.1, 4, 4)],
    "the fewest that were wanted": [(0, 9, 1), (1, 3, 1), (2, 20, 1), (3, 7, 3), (4, 7, 3), (7, 7, 7)],
    "a moment that fits begins it anew": [(0, 4, 1), (2, 1, 1), (3, 4, 1), (5, 4, 1), (6, 4, 4)],
    "fewer, later": [(0, 4, 1), (3, 4, 4), (4, 0, 4), (8.9, 0, 4), (9, 0, 1)],
    "the most that was wanted": [(0, 8, 1), (3, 8, 8), (4, 0, 8), (5, 6, 8), (9, 0, 6), (10, 0, 6), (15, 0, 1)],
    "a moment of load keeps them": [(0, 4, 1), (3, 4, 4), (4, 0, 4), (8, 4, 4), (9, 0, 4), (14, 0, 1)],
    "turned round": [(0, 4, 1), (3, 4, 4), (4, 2, 4), (8, 6, 4), (9, 6, 4), (11, 6, 6), (12, 4, 6), (17, 4, 4)],
    "a late look": [(0, 4, 1), (60, 6, 4)],
    "within the bounds": [(0, 100, 1), (3, 100, 10), (10, 0, 10), (15, 0, 1)],
}


@pytest.mark.parametrize("trace", TRACES.values(), ids=TRACES)
def test_it_follows_what_lasts(trace: list[tuple[float, int, int]]) -> None:
    config = AutoscalingConfig(10, target_ongoing_requests=1, upscale_delay_s=3, downscale_delay_s=5)
    replicas = 1
    past: Past | None = None
    for now_s, ongoing, expected in trace:
        replicas, past = config.decide(Load(1e6 + now_s, ongoing, replicas), past)
        assert replicas == expected, f"at {now_s} s"


@pytest.mark.parametrize(("most", "target"), [(1, 2.0), (4, 2.0), (4, 1.5), (3, 0.1), (6, 5.0)])
def test_the_requests_under_way_are_enough_to_get_all_replicas(most: int, target: float) -> None:
    config = AutoscalingConfig(most, 1, target, upscale_delay_s=0, downscale_delay_s=0)
    assert config.decide(Load(0.0, config.needed_ongoing, 1), None)[0] == most
    assert most == 1 or config.decide(Load(0.0, config.needed_ongoing - 1, 1), None)[0] < most
    assert config.most_ongoing >= max(2 * most, config.needed_ongoing)


def test_the_words_and_defaults_are_those_of_serve() -> None:
    ours, theirs = AutoscalingConfig(4), serve.config.AutoscalingConfig(max_replicas=4)
    assert all(getattr(theirs, name) == value for name, value in vars(ours).items())


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"max_replicas": 2, "look_back_period_s": 3}, r"has \['look_back_period_s'\], expected none but"),
        ({"min_replicas": 2}, r"has \['min_replicas'\], expected max_replicas too"),
        ({"max_replicas": 0}, "max_replicas is 0, expected a whole number from 1 on"),
        ({"max_replicas": 2, "min_replicas": 3}, "max_replicas is 2, expected a whole number from 3 on"),
        ({"max_replicas": 2, "min_replicas": 0}, "min_replicas is 0, expected a whole number from 1 on"),
        ({"max_replicas": 2.5}, "max_replicas is 2.5, expected a whole number"),
        ({"max_replicas": 2, "target_ongoing_requests": 0}, "target_ongoing_requests is 0, expected a number above 0"),
        ({"max_replicas": 2, "upscale_delay_s": -1}, "upscale_delay_s is -1, expected a number from 0 on"),
        ({"max_replicas": 2, "downscale_delay_s": float("nan")}, "downscale_delay_s is nan, expected a number"),
        ({"max_replicas": 2, "downscale_delay_s": "5"}, "downscale_delay_s is '5', expected a number"),
        (4, "autoscaling_config is 4, expected a mapping"),
    ],
)
def test_what_is_wrong_is_named(value: Any, message: str) -> None:
    with pytest.raises(splitnet.InvalidArgument, match=message):
        autoscaling_of(value)


class Broken:
    """A stage with one replica and much to do, whose scaling fails."""

    index, ongoing, wanted = 3, 9, 1

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.asked: list[int] = []

    async def scale(self, count: int) -> None:
        self.asked.append(count)
        raise self.error


@pytest.mark.parametrize("error", [splitnet.Unavailable("no room"), RuntimeError("the head restarts")])
def test_what_fails_is_logged_and_tried_again(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    pool: Any = Broken(error)
    config = AutoscalingConfig(4, upscale_delay_s=0)

    async def looks() -> None:
        past: Past | None = None
        for _ in range(2):
            past = await look(pool, config, past)

    with caplog.at_level(logging.WARNING, "splitnet.ray"):
        asyncio.run(looks())
    assert pool.asked == [4, 4]
    expected = f"stage 3: not 4 replicas for now: {type(error).__name__}: {error}"
    assert [one.message for one in caplog.records] == [expected] * 2


class Actors:
    """In place of Ray's, which is not started: so many get ready, so many are made, and then it raises. None can be ended."""

    def __init__(self, ready: int, made: int) -> None:
        self.left_ready, self.left_made = ready, made

    def options(self, **_: object) -> Actors:
        return self

    def remote(self, *_: object) -> Any:
        if not self.left_made:
            raise RuntimeError("the head restarts")
        self.left_made -= 1
        self.left_ready -= 1
        return SimpleNamespace(ready=SimpleNamespace(remote=lambda made=self.left_ready: self._ready(made)))

    async def _ready(self, left: int) -> None:
        if left < 0:
            raise asyncio.TimeoutError  # As when it takes too long; a clock would run while this process is not.


@pytest.mark.parametrize("actors", [Actors(1, 1), Actors(3, 2), Actors(2, 3)], ids=["none made", "one made", "late"])
def test_a_stage_that_could_not_be_scaled_can_be_later(actors: Actors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage_pool, "_Actor", actors)
    monkeypatch.setattr("ray.available_resources", actors.remote)
    monkeypatch.setattr("ray.is_initialized", lambda: True)
    monkeypatch.setattr("ray.kill", lambda _: 1 / 0)

    async def scale() -> None:
        pool = StagePool(0, None, PoolOptions("pipeline", 1, 1, 60, {}))
        await pool.scale(1)
        with pytest.raises(splitnet.Unavailable, match="stage 0: RuntimeError: the head restarts"):
            await pool.scale(3)
        stats = pool.stats()
        assert stats.replicas == pool.wanted and stats.ready >= 1
        actors.left_ready = actors.left_made = 9
        await pool.scale(3)
        assert (pool.wanted, pool.stats().ready) == (3, 3)
        await pool.scale(1)
        assert (pool.wanted, pool.stats().ready) == (1, 1)

    asyncio.run(scale())


class Result:
    """A reference in place of Ray's: what came of a call is known already."""

    def __init__(self, error: Exception | None) -> None:
        self._future: concurrent.futures.Future[str] = concurrent.futures.Future()
        if error:
            self._future.set_exception(error)
        else:
            self._future.set_result("results")

    def future(self) -> concurrent.futures.Future[str]:
        return self._future

    def __await__(self) -> Generator[Any, None, str]:
        return asyncio.wrap_future(self._future).__await__()


class OneDies:
    """Actors in place of Ray's: the first dies over its pass, the next can't be made, the one after that not be started."""

    def __init__(self) -> None:
        self.asked = 0
        self.ended: list[int] = []

    def options(self, **_: object) -> OneDies:
        return self

    def remote(self, *_: object) -> Any:
        self.asked += 1
        if self.asked == 2:
            raise RuntimeError("the head restarts")
        started = Result(OSError("no socket is left") if self.asked == 3 else None)
        results = Result(ray.exceptions.RayActorError() if self.asked == 1 else None)
        one_pass = SimpleNamespace(remote=lambda _: ("boundary", results))
        return SimpleNamespace(
            number=self.asked,
            ready=SimpleNamespace(remote=lambda: started),
            run=SimpleNamespace(options=lambda num_returns: one_pass),
        )


def test_a_replica_that_died_is_replaced_whatever_ray_raises(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    actors = OneDies()
    monkeypatch.setattr(stage_pool, "_Actor", actors)
    monkeypatch.setattr(stage_pool, "_RESTART_PAUSE_S", 0)
    monkeypatch.setattr("ray.is_initialized", lambda: True)
    monkeypatch.setattr("ray.kill", lambda actor: actors.ended.append(actor.number))

    async def scale_and_run() -> None:
        pool = StagePool(0, None, PoolOptions("pipeline", 1, 2, 60, {}))
        await pool.scale(1)
        _, results = await pool.run("inputs")
        assert str(results) == "results"
        stats = pool.stats()
        assert (stats.replicas, stats.ready, stats.deaths) == (1, 1, 1)

    with caplog.at_level(logging.WARNING, "splitnet.ray"):
        asyncio.run(scale_and_run())
    said = "stage 0: a replica could not be started: "
    assert [one.message for one in caplog.records][1:] == [
        said + "Unavailable: stage 0: RuntimeError: the head restarts",
        said + "OSError: no socket is left",
    ]
    assert (actors.asked, actors.ended) == (4, [3]), "what may still start is ended"


def test_a_stage_whose_ray_has_ended_starts_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray's functions start one by themselves where there is none."""
    actors = Actors(9, 9)
    monkeypatch.setattr(stage_pool, "_Actor", actors)
    monkeypatch.setattr("ray.is_initialized", lambda: True)
    monkeypatch.setattr("ray.kill", lambda _: pytest.fail("asked to end an actor"))

    async def scale_and_run() -> None:
        pool = StagePool(0, None, PoolOptions("pipeline", 1, 1, 60, {}))
        await pool.scale(2)
        monkeypatch.setattr("ray.is_initialized", lambda: False)
        for asked in (pool.scale(3), pool.run("inputs")):
            with pytest.raises(splitnet.Unavailable, match="stage 0: Ray has ended"):
                await asked
        await pool.scale(1)
        assert pool.stats().replicas == 1 and actors.left_made == 7

    asyncio.run(scale_and_run())


def test_what_ray_raises_at_a_call_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing:
        """An actor that is there, and whose passes can't be asked for."""

        def options(self, **_: object) -> Refusing:
            return self

        def remote(self, *_: object) -> Any:
            one_pass = SimpleNamespace(remote=lambda _: 1 / 0)
            run = SimpleNamespace(options=lambda num_returns: one_pass)
            return SimpleNamespace(ready=SimpleNamespace(remote=lambda: Result(None)), run=run)

    monkeypatch.setattr(stage_pool, "_Actor", Refusing())
    monkeypatch.setattr("ray.is_initialized", lambda: True)

    async def ask() -> None:
        pool = StagePool(0, None, PoolOptions("pipeline", 1, 1, 60, {}))
        await pool.scale(1)
        with pytest.raises(splitnet.Unavailable, match="stage 0: ZeroDivisionError: division by zero"):
            await pool.run("inputs")

    asyncio.run(ask())
