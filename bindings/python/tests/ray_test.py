# SPDX-License-Identifier: Apache-2.0
"""splitnet.ray on a Ray that runs here: a pipeline of actors that die, and workers behind Ray Serve."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import queue
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil  # type: ignore[import-untyped]
import pytest
import torch
from starlette.requests import Request

import local_ray
import splitnet
import splitnet.ray
from local_ray import serve
from splitnet.ray.serving import body_of

TOKEN = "a-token-of-the-tests-of-ray"


def wait_for(condition: Callable[[], bool], what: str) -> None:
    until_s = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until_s, f"waited in vain for {what}"
        time.sleep(0.02)


def processes_of_ray() -> list[psutil.Process]:
    """All that this process has started, and those have."""
    return [one for one in psutil.Process().children(recursive=True) if one.is_running()]


@pytest.fixture(scope="module", autouse=True)
def running() -> Iterator[None]:
    """Ray; and none of its processes when it is over."""
    others = set(processes_of_ray())
    with local_ray.local_ray(cpus=16):
        yield
        started = set(processes_of_ray()) - others
        assert len(started) > 3
    assert not psutil.wait_procs(started, timeout=20)[1]


class Slow(torch.nn.Module):
    """Takes the time of so many products."""

    def forward(self, x: torch.Tensor, products: int) -> torch.Tensor:
        for _ in range(products):
            x = torch.tanh(x @ x)
        return x


class Shared(torch.nn.Module):
    """Early results, views of one storage across a cut, and a write into one of them."""

    def __init__(self) -> None:
        super().__init__()
        self.last = torch.nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        early = torch.relu(x)
        y = torch.sigmoid(x).t()
        part = y[:2]
        z = torch.cos(y)
        part.add_(1.0)
        return {"early": early, "written": y, "last": self.last(z + y)}


@pytest.fixture(scope="module")
def pipeline(part: splitnet.Partitioner) -> Iterator[splitnet.ray.Pipeline]:
    """Three stages, two actors in the middle."""
    with splitnet.ray.Pipeline(part, ["first", "second"], replicas=[1, 2, 1]) as opened:
        yield opened


@functools.cache
def slow_part() -> splitnet.Partitioner:
    return splitnet.Partitioner(torch.jit.script(Slow()), [torch.rand(64, 64), 1])


@pytest.fixture(scope="module")
def slow() -> Iterator[splitnet.ray.Pipeline]:
    """One stage; a request of n products."""
    with splitnet.ray.Pipeline(slow_part(), replicas=2, max_in_flight=6, max_tries=2, name="slow") as opened:
        yield opened


LONG = (torch.rand(64, 64), 8_000_000)
SHORT = (torch.rand(64, 64), 1)
SOME = (torch.rand(64, 64), 10_000)


def photos(count: int) -> list[torch.Tensor]:
    made = torch.Generator().manual_seed(7)
    return [torch.rand((1, 3, 16, 16), generator=made) for _ in range(count)]


def whole(part: splitnet.Partitioner, *inputs: Any) -> Any:
    """The model in one piece, in this process."""
    return part.run_stages([], list(inputs), splitnet.StageOptions(threads=1))


def title_of(process: psutil.Process) -> str:
    """What Ray calls it: the actor's class, and the method that runs."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return " ".join(process.cmdline()).strip()
    return ""


def actors(*titles: str) -> list[psutil.Process]:
    return [one for one in processes_of_ray() if title_of(one) in titles]


def runners() -> list[psutil.Process]:
    """Actors that are in a pass."""
    return actors("ray::StageActor.run")


def long_runner(others: set[psutil.Process]) -> psutil.Process:
    """The actor that is in a long pass: it takes processor time, while a short one may only be kept from ending."""
    at_first_s: dict[psutil.Process, float] = {}
    found: set[psutil.Process] = set()

    def is_there() -> bool:
        for one in set(runners()) - others:
            taken_s = one.cpu_times().user
            if taken_s > at_first_s.setdefault(one, taken_s) + 0.5:
                found.add(one)
        return bool(found)

    wait_for(is_there, "a long pass")
    return found.pop()


def alone(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "ignore", "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | environment)


def test_the_package_alone_needs_no_ray() -> None:
    ended = alone("import sys, splitnet, splitnet.cli; splitnet.Session; assert 'ray' not in sys.modules")
    assert ended.returncode == 0, ended.stderr


def test_without_ray_it_says_what_to_install() -> None:
    ended = alone("import sys; sys.modules['ray'] = None; import splitnet.ray")
    assert ended.returncode == 1
    assert "ImportError: splitnet.ray needs Ray" in ended.stderr and "splitnet[ray]" in ended.stderr


def test_ray_has_to_be_started() -> None:
    ended = alone(
        "import splitnet, splitnet.ray, torch\n"
        "part = splitnet.Partitioner(torch.jit.script(torch.nn.Linear(2, 2)), [torch.rand(1, 2)])\n"
        "try: splitnet.ray.Pipeline(part)\nexcept splitnet.Unavailable as error: print(error)"
    )
    assert "ray.init()" in ended.stdout, ended.stderr


@pytest.mark.parametrize(("environment", "keeps"), [({}, True), ({"MALLOC_MMAP_THRESHOLD_": "65536"}, False)])
def test_actors_keep_memory_unless_somebody_else_has_decided(environment: dict[str, str], keeps: bool) -> None:
    ended = alone(
        "import resource, numpy\n"
        "from splitnet.ray.memory import keep_memory_of_passes\n"
        "keep_memory_of_passes()\n"
        "def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "def work(): [numpy.ones(2_000_000) for _ in range(4)]\n"
        "work(); before = faults(); work(); print(faults() - before)",
        **environment,
    )
    assert ended.returncode == 0, ended.stderr
    assert (int(ended.stdout) < 1000) == keeps, "64 MB are 15,625 pages"


def test_everything_listens_on_loopback() -> None:
    found = []
    for process in processes_of_ray():
        with contextlib.suppress(psutil.NoSuchProcess):
            listening = [one for one in process.net_connections("inet") if one.status == psutil.CONN_LISTEN]
            found += [one.laddr.ip for one in listening]
    assert found and set(found) <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


@pytest.mark.parametrize(
    ("wrong", "found"),
    [
        (object(), "object"),
        (b"x", "bytes"),
        (torch.eye(2).to_sparse(), "sparse"),
        (torch.rand(2, device="meta"), "meta"),
    ],
)
def test_what_can_not_travel_is_named(pipeline: splitnet.ray.Pipeline, wrong: object, found: str) -> None:
    with pytest.raises(splitnet.InvalidArgument, match=found):
        pipeline(wrong)


def test_the_answers_are_those_of_the_model_in_one_piece(
    part: splitnet.Partitioner, pipeline: splitnet.ray.Pipeline
) -> None:
    inputs = photos(24)
    inputs.append(inputs[0].to(memory_format=torch.channels_last))
    outputs = list(pipeline.map(inputs, in_flight=6))
    assert all(torch.equal(one, whole(part, x)) for one, x in zip(outputs, inputs, strict=True))
    outputs[0].zero_()  # It is ours.
    stats = pipeline.stats
    assert (stats.failed, stats.in_flight) == (0, 0)
    assert [(one.replicas, one.ready, one.passes) for one in stats.stages] == [(1, 1, 25), (2, 2, 25), (1, 1, 25)]


@pytest.mark.parametrize("pixels", [16, 128])
def test_who_has_submitted_may_change_the_inputs(
    part: splitnet.Partitioner, pipeline: splitnet.ray.Pipeline, pixels: int
) -> None:
    """Small ones go with the call, others through the object store."""
    inputs = [torch.rand(1, 3, pixels, pixels) for _ in range(4)]
    expected = [whole(part, x) for x in inputs]
    futures = []
    for x in inputs:
        futures.append(pipeline.submit(x))
        x.zero_()
    assert all(torch.equal(one.result(30), y) for one, y in zip(futures, expected, strict=True))


def test_many_threads_and_asyncio(part: splitnet.Partitioner, pipeline: splitnet.ray.Pipeline) -> None:
    inputs = photos(16)
    expected = [whole(part, x) for x in inputs]
    with ThreadPoolExecutor(8) as threads:
        assert all(map(torch.equal, threads.map(pipeline, inputs), expected))

    async def ask() -> list[torch.Tensor]:
        return list(await asyncio.gather(*(asyncio.wrap_future(pipeline.submit(x)) for x in inputs)))

    assert all(map(torch.equal, asyncio.run(ask()), expected))


def test_an_error_of_a_stage_is_one_of_the_library(pipeline: splitnet.ray.Pipeline, photo: torch.Tensor) -> None:
    with pytest.raises(splitnet.InvalidArgument) as raised:
        pipeline(photo.int())
    assert type(raised.value) is splitnet.InvalidArgument
    with pytest.raises(splitnet.InvalidArgument):
        pipeline(photo, photo)
    assert pipeline(photo).shape == (1, 5)


def test_results_of_every_stage_and_shared_memory_across_a_cut() -> None:
    x = torch.rand(4, 4) - 0.5
    part = splitnet.Partitioner(torch.jit.script(Shared()), [x])
    middle = [cut.index for cut in part.cuts() if not cut.refusal][2]
    with splitnet.ray.Pipeline(part, [middle]) as pipeline:
        got = pipeline(x)
    expected = whole(part, x)
    assert list(got) == ["early", "written", "last"]
    assert all(torch.equal(got[name], expected[name]) for name in expected)


def test_what_an_actor_that_died_had_is_done_again(part: splitnet.Partitioner, pipeline: splitnet.ray.Pipeline) -> None:
    def kill_one(at: int) -> None:
        """Of those that are ready: one that dies while it starts is none that the stage had."""
        found: list[psutil.Process] = []

        def are_ready() -> bool:
            found[:] = actors("ray::StageActor", "ray::StageActor.run")
            return len(found) == 4 and [one.ready for one in pipeline.stats.stages] == [1, 2, 1]

        wait_for(are_ready, "four actors")
        found[at].kill()
        found[at].wait(10)

    before = pipeline.stats.stages
    inputs = photos(60)
    futures = []
    for number, x in enumerate(inputs):
        futures.append(pipeline.submit(x))
        if number in (10, 31):  # Of two stages.
            kill_one(number % 4)
    outputs = [future.result(60) for future in futures]
    assert all(torch.equal(one, whole(part, x)) for one, x in zip(outputs, inputs, strict=True))
    after = pipeline.stats.stages
    assert sum(one.deaths for one in after) == sum(one.deaths for one in before) + 2
    wait_for(lambda: [one.ready for one in pipeline.stats.stages] == [1, 2, 1], "new actors")


def test_a_request_over_which_actors_die_is_given_up_and_the_others_are_not(slow: splitnet.ray.Pipeline) -> None:
    poison = slow.submit(*LONG)
    killed: set[psutil.Process] = set()
    others = []
    for _ in range(2):
        actor = long_runner(killed)
        others += [slow.submit(*SHORT) for _ in range(2)]  # Behind the poison, where no other actor is ready.
        actor.kill()
        killed.add(actor)
    for other in others:
        other.result(60)
    with pytest.raises(splitnet.Internal, match="2 replicas died over this request"):
        poison.result(30)
    stats = slow.stats
    assert stats.failed == 1 and stats.stages[0].deaths == 2 and stats.stages[0].redone >= 1
    wait_for(lambda: slow.stats.stages[0].ready == 2, "new actors")


def test_a_deadline_and_a_bound_on_what_is_under_way(slow: splitnet.ray.Pipeline) -> None:
    with pytest.raises(splitnet.DeadlineExceeded, match=r"no answer in 0\.05 s"):
        slow.run(torch.rand(64, 64), 40_000, deadline_s=0.05)
    wait_for(lambda: slow.stats.stages[0].under_way == 0, "the end of the pass that nobody waits for")
    most = 0
    asking = [threading.Thread(target=slow.run, args=(torch.rand(64, 64), 2000)) for _ in range(16)]
    for one in asking:
        one.start()
    while any(one.is_alive() for one in asking):
        most = max(most, slow.stats.stages[0].under_way)
        time.sleep(0.002)
    assert 2 <= most <= 6


@contextlib.contextmanager
def opened_slow(**options: Any) -> Iterator[tuple[splitnet.ray.Pipeline, Callable[[], list[psutil.Process]]]]:
    """One stage; and its actors, those of other pipelines not among them."""
    others = set(actors("ray::StageActor", "ray::StageActor.run"))
    with splitnet.ray.Pipeline(slow_part(), max_in_flight=6, name="alone", **options) as opened:
        yield opened, lambda: [one for one in actors("ray::StageActor", "ray::StageActor.run") if one not in others]


def test_who_waits_behind_a_pass_that_nobody_waits_for_is_not_blamed() -> None:
    with opened_slow(max_tries=1) as (pipeline, own):
        given_up = pipeline.submit(*LONG)
        runner = long_runner(set())
        given_up.cancel()
        waiting = pipeline.submit(*SHORT)
        wait_for(lambda: pipeline.stats.stages[0].under_way == 2, "the second one")
        runner.kill()
        assert waiting.result(60).shape == (64, 64)
        assert own() != [runner]


def test_actors_that_had_died_before_do_not_count_against_a_request() -> None:
    with opened_slow(replicas=3, max_tries=2) as (pipeline, own):
        wait_for(lambda: len(own()) == 3, "three actors")
        dead = own()
        for one in dead:
            one.kill()
        assert not psutil.wait_procs(dead, timeout=10)[1]
        assert pipeline(*SHORT).shape == (64, 64)


def test_scaling_while_an_actor_is_replaced_gives_as_many_as_were_asked_for() -> None:
    with opened_slow(replicas=2) as (pipeline, own):
        wait_for(lambda: len(own()) == 2, "two actors")
        own()[0].kill()
        for asked in [pipeline.submit(*SHORT) for _ in range(6)]:  # Of both.
            asked.result(60)
        assert pipeline.stats.stages[0].deaths == 1
        pipeline.scale(0, 1)
        wait_for(lambda: not pipeline._pools[0]._starting, "the end of replacing")
        assert pipeline.stats.stages[0].replicas == 1
        wait_for(lambda: len(own()) == 1, "one actor")
        assert pipeline(*SHORT).shape == (64, 64)


def test_nothing_starts_a_ray_again_that_has_ended(
    pipeline: splitnet.ray.Pipeline, photo: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Ray's own functions would: for small inputs, which go with the call, for others, and for actors."""
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    with pytest.raises(splitnet.Unavailable, match="stage 0: Ray has ended"):
        pipeline(photo)
    with pytest.raises(splitnet.Unavailable, match="inputs: Ray has ended"):
        pipeline(torch.rand(1, 3, 128, 128))
    with pytest.raises(splitnet.Unavailable, match="stage 0: Ray has ended"):
        pipeline.scale(0, 2)


def test_a_full_object_store_is_unavailable(
    part: splitnet.Partitioner, pipeline: splitnet.ray.Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    def put(_: object) -> None:
        raise local_ray.ray.exceptions.ObjectStoreFullError("no room")

    monkeypatch.setattr("ray.put", put)
    with pytest.raises(splitnet.Unavailable, match="inputs: ObjectStoreFullError: no room"):
        pipeline(torch.rand(1, 3, 128, 128))
    with pytest.raises(splitnet.Unavailable, match="stage 0: ObjectStoreFullError: no room"):
        splitnet.ray.Pipeline(part)


def test_a_callback_that_would_wait_for_its_own_thread_is_told() -> None:
    with opened_slow() as (pipeline, _):
        waits: list[Callable[[], Any]] = [
            lambda: pipeline(*SHORT),
            lambda: next(pipeline.map([SHORT])),
            lambda: pipeline.scale(0, 1),
            pipeline.close,
        ]
        told: queue.SimpleQueue[str] = queue.SimpleQueue()

        def on_answer(_: object) -> None:
            for wait in waits:
                try:
                    told.put(f"no error, but {wait()}")
                except splitnet.InvalidArgument as error:
                    told.put(str(error))

        pipeline.submit(torch.rand(64, 64), 100_000).add_done_callback(on_answer)
        for _ in waits:
            assert "expected another thread" in told.get(timeout=30)
        assert pipeline(*SHORT).shape == (64, 64)


def test_closing_ends_scaling_that_waits_for_room() -> None:
    with opened_slow() as (pipeline, _), ThreadPoolExecutor(1) as threads:
        scaling = threads.submit(pipeline.scale, 0, 40)
        wait_for(lambda: pipeline.stats.stages[0].replicas == 40, "many actors that start")
        pipeline.close()
        with pytest.raises(splitnet.Cancelled):
            scaling.result(30)


def test_who_asks_while_it_is_closed_hears_so() -> None:
    with opened_slow() as (pipeline, _), ThreadPoolExecutor(8) as threads:
        begun = threading.Barrier(9)

        def ask() -> None:
            begun.wait()
            while True:
                pipeline(*SHORT)

        asking = [threads.submit(ask) for _ in range(8)]
        begun.wait()
        wait_for(lambda: pipeline.stats.answered > 10, "answers")
        pipeline.close()
        for one in asking:
            with pytest.raises(splitnet.Cancelled):
                one.result(30)


def test_a_pipeline_that_can_not_store_its_stages_leaves_no_thread(
    part: splitnet.Partitioner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [one.name for one in threading.enumerate()]
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError):
        splitnet.ray.Pipeline(part)
    assert [one.name for one in threading.enumerate()].count("splitnet-ray") == before.count("splitnet-ray")


def test_scaling(slow: splitnet.ray.Pipeline) -> None:
    slow.scale(0, 3)
    assert slow.stats.stages[0].ready == 3
    asked = [slow.submit(*SOME) for _ in range(6)]
    wait_for(lambda: slow.stats.stages[0].under_way >= 3, "passes of all three")
    slow.scale(0, 1)
    assert slow.stats.stages[0].replicas == 1
    assert all(torch.equal(one.result(30), whole(slow_part(), *SOME)) for one in asked), "what they had is finished"
    assert slow(*SHORT).shape == (64, 64)
    with pytest.raises(splitnet.InvalidArgument, match="replicas is 0"):
        slow.scale(0, 0)
    with pytest.raises(splitnet.InvalidArgument, match="stage is 1, expected 0 to 0"):
        slow.scale(1, 1)


@contextlib.contextmanager
def load(ask: Callable[[], bool]) -> Iterator[None]:
    """Six threads that ask again and again; every answer has to be right."""
    over = threading.Event()

    def keep_asking() -> bool:
        answers = [ask()]
        while not over.is_set():
            answers.append(ask())
        return all(answers)

    with ThreadPoolExecutor(6) as threads:
        asking = [threads.submit(keep_asking) for _ in range(6)]
        try:
            yield
        finally:
            over.set()
        assert all(one.result() for one in asking)


def test_load_makes_another_actor_and_its_end_takes_it_away() -> None:
    config = {"max_replicas": 2, "upscale_delay_s": 0.3, "downscale_delay_s": 0.3}
    expected = whole(slow_part(), *SOME)
    with opened_slow(autoscaling_config=config) as (pipeline, own):
        assert pipeline.stats.stages[0].replicas == 1
        with load(lambda: torch.equal(pipeline(*SOME), expected)):
            wait_for(lambda: pipeline.stats.stages[0].ready == 2 and len(own()) == 2, "a second actor")
        wait_for(lambda: pipeline.stats.stages[0].replicas == 1 and len(own()) == 1, "one actor")
        assert torch.equal(pipeline(*SOME), expected)
        assert pipeline.stats.failed == 0 and pipeline.stats.stages[0].deaths == 0
        with pytest.raises(splitnet.InvalidArgument, match="stage 0 scales by itself, from 1 to 2 actors"):
            pipeline.scale(0, 2)


def test_closing_ends_autoscaling_that_waits_for_room() -> None:
    config = {"max_replicas": 40, "target_ongoing_requests": 0.02, "upscale_delay_s": 0}
    with opened_slow(autoscaling_config=config) as (pipeline, own):
        asked = pipeline.submit(*LONG)
        wait_for(lambda: pipeline.stats.stages[0].replicas == 40, "many actors that start")
        pipeline.close()
        with pytest.raises(splitnet.Cancelled):
            asked.result(10)
        wait_for(lambda: not own(), "the end of the actors")


def test_closing_ends_actors_that_only_finish_what_they_had() -> None:
    with opened_slow(replicas=2) as (pipeline, own):
        asked = [pipeline.submit(*LONG) for _ in range(2)]
        wait_for(lambda: len(runners()) == 2, "a pass of both")
        pipeline.scale(0, 1)
        pipeline.close()
        for one in asked:
            with pytest.raises(splitnet.Cancelled):
                one.result(10)
        wait_for(lambda: not own(), "the end of the actors")


def test_closing_ends_what_is_in_flight_and_the_actors(slow: splitnet.ray.Pipeline) -> None:
    future = slow.submit(*LONG)
    long_runner(set())
    slow.close()
    with pytest.raises(splitnet.Cancelled):
        future.result(10)
    wait_for(lambda: not runners(), "the end of the actors")
    with pytest.raises(splitnet.Cancelled):
        slow(*SHORT)


def test_a_cluster_without_room_says_so(part: splitnet.Partitioner) -> None:
    with pytest.raises(
        splitnet.Unavailable, match=r"stage 0: 1 actors .* were not ready in 0\.5 s; the cluster has free"
    ):
        splitnet.ray.Pipeline(part, threads=1000, start_timeout_s=0.5)


def test_what_is_refused(part: splitnet.Partitioner) -> None:
    with pytest.raises(splitnet.InvalidArgument, match="replicas has 3 values, expected one for each of 2 stages"):
        splitnet.ray.Pipeline(part, ["first"], replicas=[1, 1, 1])
    scaling = {"min_replicas": 2, "max_replicas": 4}
    with pytest.raises(splitnet.InvalidArgument, match="replicas is 5, expected at most max_replicas, 4"):
        splitnet.ray.Pipeline(part, ["first"], replicas=[1, 5], autoscaling_config=[None, scaling])
    with pytest.raises(
        splitnet.InvalidArgument, match="expected at least 7: with fewer requests stage 1 never has its 4"
    ):
        splitnet.ray.Pipeline(part, ["first"], max_in_flight=6, autoscaling_config=[None, scaling])
    with pytest.raises(splitnet.InvalidArgument, match="expected a Partitioner"):
        splitnet.ray.Pipeline("classifier.pt")  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def served(model_file: Path, photo: torch.Tensor) -> Iterator[tuple[str, Any]]:
    """The address for sessions, and a handle."""
    application = splitnet.ray.deployment(
        model_file,
        example_inputs=[photo],
        token=TOKEN,
        ray_actor_options={"num_cpus": 1},
        graceful_shutdown_wait_loop_s=0.2,
        autoscaling_config={
            "min_replicas": 1,
            "max_replicas": 2,
            "target_ongoing_requests": 1,
            "upscale_delay_s": 0.2,
            "downscale_delay_s": 0.5,
            "metrics_interval_s": 0.2,  # Or an end of the load is known after 10 s.
            "look_back_period_s": 0.5,
        },
    )
    port = free_port()
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    handle = serve.run(application, name="small", route_prefix="/small")
    yield f"http://127.0.0.1:{port}/small", handle
    serve.shutdown()  # type: ignore[no-untyped-call]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("cut", [splitnet.Cut.at_input(), "first", "second"])
def test_sessions_have_serve_run_their_tails(
    served: tuple[str, Any], part: splitnet.Partitioner, photo: torch.Tensor, cut: splitnet.CutLike
) -> None:
    with splitnet.Session(part, worker=served[0], cut=cut, threads=1, token=TOKEN, finish_on_device=False) as session:
        answers = [session.run(photo) for _ in range(3)]
    assert all(torch.equal(one.output, whole(part, photo)) for one in answers)
    assert {one.answered_by for one in answers} == {served[0]}


def test_serve_lets_nobody_in_without_the_token(
    served: tuple[str, Any], part: splitnet.Partitioner, photo: torch.Tensor
) -> None:
    with pytest.raises(splitnet.Unauthenticated):
        with splitnet.Session(
            part, worker=served[0], cut="first", token="another-token-of-the-tests", finish_on_device=False
        ) as session:
            session(photo)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (["Content-Length: 1000000"], 401),
        (["Transfer-Encoding: chunked"], 401),
        (["Content-Length: 1000000", "Authorization: Bearer another-token-of-the-tests"], 401),
        (["Content-Length: 1073741825", f"Authorization: bearer {TOKEN}"], 413),
    ],
)
def test_serve_refuses_a_request_before_its_body_has_come(
    served: tuple[str, Any], headers: list[str], status: int
) -> None:
    address = urlsplit(served[0])
    head = "\r\n".join([f"POST {address.path} HTTP/1.1", "Host: here", *headers, "", ""])
    with socket.create_connection((address.hostname, address.port), timeout=30) as connection:
        connection.sendall(head.encode())
        assert connection.makefile("rb").readline().startswith(b"HTTP/1.1 %d " % status)


def test_a_body_of_unknown_length_is_counted_while_it_comes() -> None:
    given = 0

    async def receive() -> dict[str, Any]:
        nonlocal given
        given += 1
        return {"type": "http.request", "body": b"four", "more_body": given < 5}

    def read(most_bytes: int) -> bytearray:
        nonlocal given
        given = 0
        return asyncio.run(body_of(Request({"type": "http", "headers": []}, receive), most_bytes))

    assert read(20) == b"four" * 5
    with pytest.raises(splitnet.TooLarge, match="more than 10 bytes"):
        read(10)
    assert given == 3


def test_a_handle_runs_the_whole_model(
    served: tuple[str, Any], part: splitnet.Partitioner, photo: torch.Tensor
) -> None:
    _, handle = served
    assert torch.equal(handle.run.remote(photo).result(timeout_s=20), whole(part, photo))
    with pytest.raises(splitnet.InvalidArgument, match="model is 'other', expected one of"):
        handle.run.remote(photo, model="other").result(timeout_s=20)


def test_serve_starts_a_replica_when_there_is_much_to_do_and_ends_it_when_there_is_not(
    served: tuple[str, Any], part: splitnet.Partitioner, photo: torch.Tensor
) -> None:
    def replicas() -> Any:
        (found,) = serve.status().applications["small"].deployments.values()
        return found.replica_states

    with splitnet.Session(
        part, worker=served[0], cut="first", threads=1, token=TOKEN, finish_on_device=False
    ) as session:
        expected = whole(part, photo)
        with load(lambda: torch.equal(session(photo), expected)):
            wait_for(lambda: replicas() == {"RUNNING": 2}, "a second replica")
        wait_for(lambda: replicas() == {"RUNNING": 1}, "the end of one of them")
        assert torch.equal(session(photo), expected)


def test_no_request_is_lost_when_a_replica_dies(
    served: tuple[str, Any], part: splitnet.Partitioner, photo: torch.Tensor
) -> None:
    """Serve asks another one, or the session asks again."""
    expected = whole(part, photo)
    with (
        splitnet.Session(
            part, worker=served[0], cut="first", threads=1, token=TOKEN, finish_on_device=False, deadline_s=30
        ) as session,
        ThreadPoolExecutor(4) as threads,
    ):
        answers = [threads.submit(session, photo) for _ in range(200)]
        answers[20].result(30)
        next(one for one in processes_of_ray() if title_of(one).startswith("ray::ServeReplica")).kill()
        assert all(torch.equal(one.result(60), expected) for one in answers)


def test_a_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(splitnet.InvalidArgument, match="model absent: there is no file"):
        splitnet.ray.deployment(tmp_path / "absent.pt")
    with pytest.raises(splitnet.InvalidArgument, match="example_inputs are for"):
        splitnet.ray.deployment({}, example_inputs={"other": []})
