# SPDX-License-Identifier: Apache-2.0
"""Sessions and workers: threads, asyncio, Ctrl-C, policies."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import torch

import splitnet


@pytest.fixture
def expected(part: splitnet.Partitioner, photo: torch.Tensor) -> Any:
    return part.split()[0].run([photo])[0]


@pytest.fixture
def session(part: splitnet.Partitioner, worker: splitnet.Worker) -> Iterator[splitnet.Session]:
    with splitnet.Session(part, worker=worker.address, cut="first", finish_on_device=False) as opened:
        yield opened


@pytest.fixture
def slow_session(part: splitnet.Partitioner, worker: splitnet.Worker) -> Iterator[splitnet.Session]:
    """A round trip takes two seconds, and nobody else gives the answer."""
    link = f"shaped://delay=1s@{worker.address}"
    with splitnet.Session(part, worker=link, cut="first", finish_on_device=False) as opened:
        yield opened


def test_a_session_gives_what_the_model_gives(session: splitnet.Session, photo: torch.Tensor, expected: Any) -> None:
    assert torch.equal(session(photo), expected)


def test_an_answer_says_where_the_time_went(
    session: splitnet.Session, worker: splitnet.Worker, photo: torch.Tensor
) -> None:
    answer = session.run(photo)
    assert answer.answered_by == worker.address
    assert answer.requests == 1
    times = answer.times
    parts = times.head_s + times.transport_s + times.queue_s + times.decode_s + times.tail_s
    assert 0 < parts <= times.total_s
    assert times.hops[0].request_bytes == 1 * 8 * 16 * 16 * 4
    assert worker.stats.answered >= 1


@pytest.mark.parametrize("endpoint", ["inproc://python", "shm://splitnet-python-test", "unix://@splitnet-python-test"])
def test_other_transports(part: splitnet.Partitioner, photo: torch.Tensor, expected: Any, endpoint: str) -> None:
    with splitnet.Worker({"net": part}, endpoint) as worker, splitnet.Session(part, worker=worker.address) as session:
        assert torch.equal(session(photo), expected)


def test_an_answer_over_shared_memory_may_be_written_to(part: splitnet.Partitioner, photo: torch.Tensor) -> None:
    with splitnet.Worker(part, "shm://splitnet-python-write") as worker:
        with splitnet.Session(part, worker=worker.address, finish_on_device=False) as session:
            output = session(photo)
            output.zero_()
            assert session(photo).abs().sum() > 0


def test_device_only_needs_no_worker(part: splitnet.Partitioner, photo: torch.Tensor, expected: Any) -> None:
    with splitnet.Session(part) as session:
        answer = session.run(photo)
    assert torch.equal(answer.output, expected)
    assert answer.answered_by == ""


def test_three_stages(part: splitnet.Partitioner, photo: torch.Tensor, expected: Any) -> None:
    with splitnet.Worker(part) as one, splitnet.Worker(part) as two:
        with splitnet.Session(part, workers=[one.address, two.address], cuts=["first", "second"]) as session:
            answer = session.run(photo)
    assert torch.equal(answer.output, expected)
    assert len(answer.times.hops) == 2


def test_futures(session: splitnet.Session, photo: torch.Tensor, expected: Any) -> None:
    futures = [session.submit(photo) for _ in range(20)]
    assert all(torch.equal(future.result(10).output, expected) for future in futures)


def test_a_callback_runs_and_may_use_the_answer(session: splitnet.Session, photo: torch.Tensor) -> None:
    seen: list[Any] = []
    done = threading.Event()

    def note(future: Any) -> None:
        seen.append(future.result().output.shape)
        done.set()

    session.submit(photo).add_done_callback(note)
    assert done.wait(10)
    assert seen == [(1, 5)]


def test_map_keeps_the_order(part: splitnet.Partitioner, session: splitnet.Session) -> None:
    photos = [torch.full((1, 3, 16, 16), float(i)) for i in range(12)]
    whole = part.split()[0]
    outputs = list(session.map(photos, in_flight=4))
    assert all(torch.equal(a, whole.run([b])[0]) for a, b in zip(outputs, photos, strict=True))


def test_many_threads(session: splitnet.Session, photo: torch.Tensor, expected: Any) -> None:
    wrong: list[int] = []

    def ask(number: int) -> None:
        for _ in range(25):
            if not torch.equal(session(photo), expected):
                wrong.append(number)

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert session.stats.answered == 200


def test_python_goes_on_while_a_session_waits(slow_session: splitnet.Session, photo: torch.Tensor) -> None:
    counted = 0
    asking = threading.Thread(target=slow_session, args=(photo,))
    asking.start()
    while asking.is_alive():
        counted += 1
        time.sleep(0.001)
    assert counted > 100, "the GIL was held"


def test_await(session: splitnet.Session, photo: torch.Tensor, expected: Any) -> None:
    async def ask() -> list[Any]:
        return [answer.output for answer in await asyncio.gather(*(session.submit(photo) for _ in range(10)))]

    assert all(torch.equal(output, expected) for output in asyncio.run(ask()))


def test_back_pressure_does_not_stop_the_event_loop(
    part: splitnet.Partitioner, worker: splitnet.Worker, photo: torch.Tensor
) -> None:
    link = f"shaped://delay=100ms@{worker.address}"
    with splitnet.Session(part, worker=link, cut="first", max_in_flight=1, finish_on_device=False) as session:

        async def ask() -> tuple[float, int]:
            begun = time.monotonic()
            futures = [session.submit(photo) for _ in range(3)]
            handed_over_s = time.monotonic() - begun
            return handed_over_s, len(await asyncio.gather(*futures))

        handed_over_s, answered = asyncio.run(ask())
    assert answered == 3
    assert handed_over_s < 0.1


def test_a_task_that_is_cancelled_ends_its_inference(slow_session: splitnet.Session, photo: torch.Tensor) -> None:
    async def ask() -> None:
        await asyncio.wait_for(slow_session.submit(photo), 0.1)

    with pytest.raises(asyncio.TimeoutError):
        asyncio.run(ask())
    wait_until(lambda: slow_session.stats.failed == 1)


def test_a_future_can_be_cancelled(slow_session: splitnet.Session, photo: torch.Tensor) -> None:
    future = slow_session.submit(photo)
    assert future.cancel()
    assert future.cancelled()
    wait_until(lambda: slow_session.stats.failed == 1)


def test_a_deadline(slow_session: splitnet.Session, photo: torch.Tensor) -> None:
    with pytest.raises(TimeoutError):
        slow_session.run(photo, deadline_s=0.05)
    with pytest.raises(splitnet.DeadlineExceeded):
        slow_session.submit(photo, deadline_s=0.05).result(10)


def test_ctrl_c_ends_a_call_that_waits(slow_session: splitnet.Session, photo: torch.Tensor) -> None:
    begun = time.monotonic()
    with interrupted_after(0.3), pytest.raises(KeyboardInterrupt):
        slow_session(photo)
    assert time.monotonic() - begun < 1.5
    wait_until(lambda: slow_session.stats.failed == 1)


def test_ctrl_c_while_a_session_opens(part: splitnet.Partitioner, worker: splitnet.Worker) -> None:
    begun = time.monotonic()
    with interrupted_after(0.3), pytest.raises(KeyboardInterrupt):
        splitnet.Session(part, worker=f"shaped://delay=2s@{worker.address}", cut="first")
    assert time.monotonic() - begun < 1.5


def test_a_signal_handler_that_does_not_raise_changes_nothing(
    slow_session: splitnet.Session, photo: torch.Tensor, expected: Any
) -> None:
    calls: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, frame: calls.append(number))
    try:
        with interrupted_after(0.2, signal.SIGUSR1):
            assert torch.equal(slow_session(photo), expected)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert calls == [signal.SIGUSR1]


def test_errors_are_classes(
    part: splitnet.Partitioner, worker: splitnet.Worker, photo: torch.Tensor, session: splitnet.Session
) -> None:
    with pytest.raises(splitnet.Unavailable, match="127.0.0.1:1"):
        splitnet.Session(part, worker="tcp://127.0.0.1:1", cut="first")
    with pytest.raises(ConnectionError):
        splitnet.Session(part, worker="tcp://127.0.0.1:1", cut="first")
    with pytest.raises(splitnet.InvalidArgument, match=r"i64"):
        session(torch.ones(1, 3, 16, 16, dtype=torch.int64))
    with pytest.raises(ValueError):
        session(photo, photo)
    with pytest.raises(splitnet.InvalidArgument, match="polynomial"):
        splitnet.Session(part, worker=worker.address, codec="polynomial")
    session.close()
    with pytest.raises(splitnet.Cancelled):
        session(photo)


def test_a_port_in_use(part: splitnet.Partitioner, worker: splitnet.Worker) -> None:
    with pytest.raises(splitnet.Unavailable, match="in use"):
        splitnet.Worker(part, worker.address)


def test_a_token(part: splitnet.Partitioner, photo: torch.Tensor) -> None:
    token = "t0ken-of-sixteen-characters-and-more"
    with splitnet.Worker(part, token=token) as worker:
        with splitnet.Session(part, worker=worker.address, token=token, finish_on_device=False) as session:
            assert session(photo).shape == (1, 5)
        with pytest.raises(splitnet.Unauthenticated):
            splitnet.Session(part, worker=worker.address, token="another" + token)


def test_a_worker_that_goes_is_no_loss(part: splitnet.Partitioner, photo: torch.Tensor, expected: Any) -> None:
    worker = splitnet.Worker(part)
    with splitnet.Session(part, worker=worker.address, cut="first") as session:
        session(photo)
        worker.close()
        answer = session.run(photo)
    assert torch.equal(answer.output, expected)
    assert answer.answered_by == ""


class Alternating:
    """Device only and worker only, in turns."""

    def __init__(self, layers: int) -> None:
        self.layers = layers
        self.outcomes: list[splitnet.Outcome] = []
        self.asked = 0

    def decide(self, situation: splitnet.Situation) -> splitnet.Decision:
        self.asked += 1
        return splitnet.Decision(choice=splitnet.Choice(head_layers=self.layers if self.asked % 2 else 0))

    def learn(self, outcome: splitnet.Outcome) -> None:
        self.outcomes.append(outcome)


def test_a_policy_in_python(
    part: splitnet.Partitioner, worker: splitnet.Worker, photo: torch.Tensor, expected: Any
) -> None:
    policies: list[Alternating] = []

    def make(problem: splitnet.PlanningProblem, *_: Any) -> Alternating:
        policies.append(Alternating(len(problem.graph.layers)))
        return policies[0]

    with splitnet.Session(part, worker=worker.address, objective="latency", policy=make) as session:
        answers: list[splitnet.Answer] = []

        def both_have_answered() -> bool:
            answers.append(session.run(photo))
            return {bool(answer.answered_by) for answer in answers} == {True, False}

        wait_until(both_have_answered)
    assert all(torch.equal(answer.output, expected) for answer in answers)
    assert policies[0].asked == len(answers)
    assert policies[0].outcomes


def test_a_policy_that_raises_leaves_the_inference_to_the_device(
    part: splitnet.Partitioner,
    worker: splitnet.Worker,
    photo: torch.Tensor,
    expected: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Broken(Alternating):
        def decide(self, situation: splitnet.Situation) -> splitnet.Decision:
            raise RuntimeError("no idea")

    heard: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda raised: heard.append(raised.exc_value))
    with splitnet.Session(part, worker=worker.address, objective="latency", policy=lambda *_: Broken(1)) as session:
        answer = session.run(photo)
    assert torch.equal(answer.output, expected)
    assert str(heard[0]) == "no idea"


def test_the_adaptive_policy(part: splitnet.Partitioner, worker: splitnet.Worker, photo: torch.Tensor) -> None:
    with splitnet.Session(part, worker=worker.address, objective="latency", policy="adaptive") as session:
        for _ in range(5):
            session(photo)
        assert len(session.decisions) == 5
        assert "latency" in session.explain()
    with pytest.raises(splitnet.InvalidArgument, match="eager"):
        splitnet.Session(part, worker=worker.address, objective="latency", policy="eager")


def test_a_timeline(part: splitnet.Partitioner, worker: splitnet.Worker, photo: torch.Tensor) -> None:
    recorder = splitnet.TraceRecorder()
    with splitnet.Session(part, worker=worker.address, cut="first", trace_recorder=recorder) as session:
        session(photo)
    names = {span.name for span in recorder.spans}
    assert {"inference", "head", "run"} <= names


def test_status_pages_and_logs(part: splitnet.Partitioner, photo: torch.Tensor) -> None:
    from urllib.request import urlopen

    records: list[str] = []
    options = splitnet.WorkerOptions(log=lambda record: records.append(record.to_text()))
    with splitnet.Worker(part, options=options) as worker, splitnet.Session(part, worker=worker.address) as session:
        session(photo)
        status = worker.serve_status("127.0.0.1:0")
        with urlopen(f"{status.address}/metrics", timeout=10) as page:
            text = page.read().decode()
        status.close()
    assert 'model="small"' in text
    assert any("operation=run" in record for record in records)


def test_the_end_of_a_program_closes_its_sessions(model_file: Any) -> None:
    import subprocess

    program = (
        "import sys, torch, splitnet\n"
        "x = torch.rand(1, 3, 16, 16)\n"
        f"part = splitnet.Partitioner({str(model_file)!r}, [x])\n"
        "worker = splitnet.Worker(part)\n"
        "session = splitnet.Session(part, worker='shaped://delay=300ms@' + worker.address, cut='first')\n"
        "futures = [session.submit(x) for _ in range(4)]\n"
        "print('end')\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (0, "end\n"), ended.stderr


class interrupted_after:
    """Sends a signal to this process from another thread, as a terminal does."""

    def __init__(self, delay_s: float, number: int = signal.SIGINT) -> None:
        self.timer = threading.Timer(delay_s, os.kill, (os.getpid(), number))

    def __enter__(self) -> None:
        self.timer.start()

    def __exit__(self, *_: object) -> None:
        self.timer.cancel()
        self.timer.join()


def wait_until(holds: Any, timeout_s: float = 10) -> None:
    end = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.01)
