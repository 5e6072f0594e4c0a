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


@pytest.mark.parametrize(
    "endpoint", ["inproc://python", f"shm://splitnet-test-{os.getpid()}", f"unix://@splitnet-test-{os.getpid()}"]
)
def test_other_transports(part: splitnet.Partitioner, photo: torch.Tensor, expected: Any, endpoint: str) -> None:
    with splitnet.Worker({"net": part}, endpoint) as worker, splitnet.Session(part, worker=worker.address) as session:
        assert torch.equal(session(photo), expected)


def test_an_answer_over_shared_memory_may_be_written_to(part: splitnet.Partitioner, photo: torch.Tensor) -> None:
    with splitnet.Worker(part, f"shm://splitnet-test-write-{os.getpid()}") as worker:
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

        async def ask() -> tuple[bool, int]:
            futures = [session.submit(photo) for _ in range(3)]
            none_is_done = not any(future.done() for future in futures)
            return none_is_done, len(await asyncio.gather(*futures))

        assert asyncio.run(ask()) == (True, 3)


def test_all_that_a_loop_submits_ends(part: splitnet.Partitioner, worker: splitnet.Worker, photo: torch.Tensor) -> None:
    link = f"shaped://delay=300ms@{worker.address}"
    session = splitnet.Session(part, worker=link, cut="first", max_in_flight=1, finish_on_device=False)

    async def ask() -> list[Any]:
        wrong = [session.submit(object()), session.submit(photo, deadline_s=float("nan"))]
        waiting = [session.submit(photo) for _ in range(3)]
        refused = await asyncio.gather(*wrong, return_exceptions=True)
        session.close()
        cancelled = await asyncio.gather(*waiting, session.submit(photo), return_exceptions=True)
        return [type(one) for one in [*refused, *cancelled]]

    ended = asyncio.run(asyncio.wait_for(ask(), 30))
    assert ended == [splitnet.InvalidArgument] * 2 + [splitnet.Cancelled] * 4


def test_errors_of_submit_arrive_through_the_future(session: splitnet.Session, photo: torch.Tensor) -> None:
    with pytest.raises(splitnet.InvalidArgument, match="object"):
        session.submit(object()).result(10)
    session.close()
    with pytest.raises(splitnet.Cancelled):
        session.submit(photo).result(10)


def test_in_a_loop_a_deadline_counts_from_the_call(
    part: splitnet.Partitioner, worker: splitnet.Worker, photo: torch.Tensor
) -> None:
    link = f"shaped://delay=300ms@{worker.address}"
    with splitnet.Session(part, worker=link, cut="first", max_in_flight=1, finish_on_device=False) as session:

        async def ask() -> list[Any]:
            # The second waits for the first, 0.6 s, before it is handed over; the third for both.
            futures = [session.submit(photo, deadline_s=left_s) for left_s in (None, None, 0.9)]
            return await asyncio.gather(*futures, return_exceptions=True)

        kinds = [type(one) for one in asyncio.run(ask())]
    assert kinds == [splitnet.Answer, splitnet.Answer, splitnet.DeadlineExceeded]


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


@pytest.mark.parametrize("ask", [splitnet.Session.__call__, splitnet.Session.submit])
def test_ctrl_c_ends_the_wait_for_a_place(
    part: splitnet.Partitioner, worker: splitnet.Worker, photo: torch.Tensor, ask: Any
) -> None:
    link = f"shaped://delay=1s@{worker.address}"
    with splitnet.Session(part, worker=link, cut="first", max_in_flight=1, finish_on_device=False) as session:
        first = session.submit(photo)
        with interrupted_after(0.3), pytest.raises(KeyboardInterrupt):
            ask(session, photo)
        assert not first.done()


def test_ctrl_c_while_a_worker_drains(photo: torch.Tensor) -> None:
    module = torch.jit.script(torch.nn.Sequential(*(torch.nn.Conv2d(3, 3, 31, padding=15) for _ in range(8))))
    part = splitnet.Partitioner(module)
    served = splitnet.Worker({"slow": part})
    with splitnet.Session(part, worker=served.address, finish_on_device=False) as session:
        future = session.submit(torch.ones(1, 3, 1024, 1024))
        wait_until(lambda: served.stats.running > 0)
        with interrupted_after(0.2), pytest.raises(KeyboardInterrupt):
            served.drain(600)
        assert not future.done()
    served.close()


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


def test_a_forked_process_is_told_to_open_its_own(part: splitnet.Partitioner, photo: torch.Tensor) -> None:
    with splitnet.Session(part) as session:
        child = os.fork()
        if child == 0:
            try:
                session(photo)
            except splitnet.InvalidArgument as error:
                os._exit(0 if "fork" in str(error) else 1)
            os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_arguments_that_are_mixed_up(part: splitnet.Partitioner, worker: splitnet.Worker, model_file: Any) -> None:
    mixed_up: list[tuple[Any, str]] = [
        (lambda: splitnet.plan(str(model_file), worker.address), "expected a Partitioner"),  # type: ignore[arg-type]
        (lambda: splitnet.plan(part, worker), "expected an endpoint"),  # type: ignore[arg-type]
        (lambda: splitnet.plan(part, worker.address, codecs=["int8"]), "CodecProfile"),  # type: ignore[list-item]
        (lambda: splitnet.sweep(part, [worker]), "expected an endpoint"),  # type: ignore[list-item]
        (lambda: splitnet.Session(str(model_file)), "expected a Partitioner"),  # type: ignore[arg-type]
        (lambda: splitnet.Session(part, worker.address), "an endpoint is worker="),  # type: ignore[arg-type]
        (lambda: splitnet.Worker(str(model_file)), "expected a Partitioner"),  # type: ignore[arg-type]
        (lambda: splitnet.Worker({"net": str(model_file)}), "expected a Partitioner"),  # type: ignore[dict-item]
        (lambda: part.split(after=-1), "found -1"),
        (lambda: part.split(after=1.5), "found 1.5"),  # type: ignore[arg-type]
    ]
    for call, words in mixed_up:
        with pytest.raises(splitnet.InvalidArgument, match=words):
            call()


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


def test_a_log_sink_may_keep_records_and_raise(
    part: splitnet.Partitioner, photo: torch.Tensor, expected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda raised: heard.append(raised.exc_value))
    records: list[splitnet.LogRecord] = []

    def sink(record: splitnet.LogRecord) -> None:
        records.append(record)
        raise RuntimeError("no space")

    options = splitnet.WorkerOptions(log=sink)
    assert options.replace(executor_threads=1).log is sink
    listening = splitnet.ListenOptions(log=sink, max_connections=1)
    with (
        splitnet.Worker(part, options=options, listen_options=listening) as worker,
        splitnet.Session(part, worker=worker.address) as session,
    ):
        assert torch.equal(session(photo), expected)
        with pytest.raises(splitnet.Error):
            splitnet.Session(part, worker=worker.address)
    texts = [record.to_text() for record in records]
    assert any("operation=run" in text for text in texts)
    assert all(record.message in text for record, text in zip(records, texts, strict=True))
    assert [str(error) for error in heard] == ["no space"] * len(records)


def test_options_keep_to_the_transports_of_the_process(
    part: splitnet.Partitioner, photo: torch.Tensor, expected: Any
) -> None:
    with (
        splitnet.Worker(part, "inproc://options", options=splitnet.WorkerOptions(executor_threads=1)),
        splitnet.Session(
            part, worker="inproc://options", options=splitnet.SessionOptions(max_retries=1, finish_on_device=False)
        ) as session,
    ):
        assert torch.equal(session(photo), expected)


def test_status_pages_end_with_their_worker(part: splitnet.Partitioner) -> None:
    from urllib.error import URLError
    from urllib.request import urlopen

    with splitnet.Worker(part) as worker:
        address = worker.serve_status("127.0.0.1:0").address
        with urlopen(f"{address}/livez", timeout=10) as page:
            assert page.status == 200
    with pytest.raises(URLError):
        urlopen(f"{address}/livez", timeout=10)


def test_the_end_of_a_program_waits_for_what_ctrl_c_left(model_file: Any) -> None:
    import subprocess

    program = (
        "import os, signal, threading, torch, splitnet\n"
        f"part = splitnet.Partitioner({str(model_file)!r}, [torch.rand(1, 3, 16, 16)])\n"
        "worker = splitnet.Worker(part, options=splitnet.WorkerOptions(log=print))\n"
        "link = 'shaped://delay=500ms@' + worker.address\n"
        "threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        "try:\n"
        "    splitnet.Session(part, worker=link, cut='first')\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted')\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "interrupted" in ended.stdout


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
