# SPDX-License-Identifier: Apache-2.0
"""The server as a program, spoken to in raw HTTP."""

from __future__ import annotations

import base64
import concurrent.futures
import contextlib
import gzip
import io
import json
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest
from PIL import Image

import splitnet
from common.package_files import ROOT
from common.server_process import running_server
from common.tests.ctrl_c import hears_ctrl_c
from detection.server import main

PATH = "/object-detection"


@dataclass
class Reply:
    """An HTTP response."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, object]:
        assert self.headers["content-type"].startswith("application/json")
        found: dict[str, object] = json.loads(self.body)
        return found


@contextmanager
def server(*arguments: str) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """Its port and process."""
    with running_server("detection.server", *arguments) as started:
        assert started.url.startswith("http://127.0.0.1:") and started.url.endswith(PATH)
        yield int(started.url.split(":")[2].split("/")[0]), started.process


@pytest.fixture(scope="module")
def port(exported: None) -> Iterator[int]:
    with server() as (number, _):
        yield number


def ask(
    port: int, body: bytes, method: str = "POST", path: str = PATH, length: int | None = None, headers: str = ""
) -> Reply:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}"
        connection.sendall(f"{head}Content-Length: {len(body) if length is None else length}\r\n\r\n".encode() + body)
        data = b"".join(iter(lambda: connection.recv(65536), b""))
    first, *lines = data.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Reply(int(first.split()[1]), fields, data.partition(b"\r\n\r\n")[2])


def question(picture: bytes, identifier: object = "a7") -> bytes:
    return json.dumps({"id": identifier, "image_data": base64.b64encode(picture).decode()}).encode()


def test_answers_exactly_as_theirs(port: int, photos: dict[str, Path]) -> None:
    reply = ask(port, question(photos["coffee"].read_bytes(), "c0ffee-1"))
    assert reply.status == 200
    assert list(reply.json) == ["id", "objects", "inference_time"]
    assert reply.json["id"] == "c0ffee-1"
    objects = reply.json["objects"]
    assert isinstance(objects, list) and objects
    assert all(list(one) == ["label", "accuracy"] for one in objects)
    assert objects[0]["label"] == "cup" and 0.5 < objects[0]["accuracy"] <= 1
    milliseconds = reply.json["inference_time"]
    assert isinstance(milliseconds, float) and 1 < milliseconds < 10_000


def test_an_id_that_is_a_number_comes_back_as_one(port: int, photos: dict[str, Path]) -> None:
    reply = ask(port, question(photos["rocket"].read_bytes(), 12))
    assert (reply.status, reply.json["id"], reply.json["objects"]) == (200, 12, [])


def test_boxes_and_steps_when_asked_for(port: int, photos: dict[str, Path]) -> None:
    reply = ask(port, question(photos["cat"].read_bytes()), path=PATH + "?details=1")
    found, steps = reply.json["objects"], reply.json["steps"]
    assert isinstance(found, list) and isinstance(steps, dict)
    assert 0 < steps["device_time"] <= reply.json["inference_time"]
    assert steps["sent_bytes"] == steps["transfer_time"] == steps["worker_time"] == 0
    assert steps["answered_by"] == "this device"
    assert list(found[0]) == ["label", "accuracy", "box"] and found[0]["label"] == "cat"
    assert len(found[0]["box"]) == 4 and 0 <= found[0]["box"][0] < found[0]["box"][2] <= 451


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"{", 400, "the body is not JSON"),
        (b"", 400, "the body is not JSON"),
        (b"\xff\xfe", 400, "the body is not JSON"),
        (b"[" * 100_000, 400, "the body is not JSON"),
        (b"[1, 2]", 400, "found a list, expected an object with id and image_data"),
        (b'{"id": "x"}', 400, "image_data is missing, found id"),
        (b'{"image": "", "ID": 1}', 400, "id and image_data is missing, found image, ID"),
        (b'{"id": 1, "image_data": "", "extra": 0}', 400, "found extra, expected id and image_data only"),
        (b'{"id": null, "image_data": ""}', 400, "id: found null, expected a string or an integer"),
        (b'{"id": true, "image_data": ""}', 400, "id: found a boolean"),
        (b'{"id": 1, "image_data": 7}', 400, "image_data: found a number, expected the picture in base64"),
        (b'{"id": 1, "image_data": "%%%"}', 400, "image_data is not base64"),
        (b'{"id": 1, "image_data": "abc"}', 400, "image_data is not base64"),
        (b'{"id": 1, "image_data": ""}', 422, "image_data: found an empty file, expected a picture"),
        (b'{"id": 1, "image_data": "aGVsbG8="}', 422, "image_data: found 5 bytes that are no picture, expected one"),
    ],
)
def test_bad_requests_say_what_is_wrong(port: int, body: bytes, status: int, words: str) -> None:
    reply = ask(port, body)
    assert reply.status == status
    assert list(reply.json) == ["error"]
    assert words in str(reply.json["error"])


def test_a_damaged_picture_and_one_with_too_many_pixels(port: int, photos: dict[str, Path]) -> None:
    reply = ask(port, question(photos["cat"].read_bytes()[:5000]))
    assert (reply.status, "damaged" in str(reply.json["error"])) == (422, True)
    stream = io.BytesIO()
    Image.new("1", (12_000, 9_000)).save(stream, "PNG")
    reply = ask(port, question(stream.getvalue()))
    assert reply.status == 422
    assert "12000x9000 pixels (PNG), expected at most 64 million" in str(reply.json["error"])


def test_a_50_megapixel_photo_is_answered(port: int, photos: dict[str, Path]) -> None:
    stream = io.BytesIO()
    Image.open(photos["motorcycle"]).resize((8660, 5843)).save(stream, "JPEG", quality=70)
    reply = ask(port, question(stream.getvalue()))
    objects = reply.json["objects"]
    assert isinstance(objects, list) and objects[0]["label"] == "motorbike"


def test_wrong_method_and_path(port: int) -> None:
    reply = ask(port, b"", "GET")
    assert (reply.status, reply.headers["allow"]) == (405, "POST")
    assert reply.json == {"error": "found GET, expected POST"}
    reply = ask(port, b"{}", path="/elsewhere")
    assert (reply.status, reply.json) == (404, {"error": f"there is nothing at /elsewhere, expected {PATH}"})


def test_a_body_that_is_too_large_is_refused(port: int) -> None:
    reply = ask(port, b"x" * (45 * 2**20))
    assert reply.status == 413
    assert "too large, expected at most" in str(reply.json["error"])


def test_concurrent_requests_get_their_own_answers(port: int, photos: dict[str, Path]) -> None:
    expected = {"cat": "cat", "coffee": "cup", "motorcycle": "motorbike", "astronaut": "person"}

    def one(number: int) -> None:
        name = list(expected)[number % 4]
        reply = ask(port, question(photos[name].read_bytes(), number))
        objects = reply.json["objects"]
        assert isinstance(objects, list)
        assert (reply.json["id"], objects[0]["label"]) == (number, expected[name])

    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        list(threads.map(one, range(16)))


def test_a_flood_is_answered_with_try_again(port: int, photos: dict[str, Path]) -> None:
    data = question(photos["rocket"].read_bytes())
    with concurrent.futures.ThreadPoolExecutor(60) as threads:
        replies = list(threads.map(lambda _: ask(port, data), range(60)))
    assert {reply.status for reply in replies} == {200, 503}
    refused = next(reply for reply in replies if reply.status == 503)
    assert refused.headers["retry-after"] == "1" and "try again" in str(refused.json["error"])
    assert ask(port, data).status == 200


def test_a_body_that_is_too_large_when_it_is_unpacked(port: int) -> None:
    packed = gzip.compress(b" " * (200 * 2**20), 1)
    assert len(packed) < 2**20
    reply = ask(port, packed, headers="Content-Encoding: gzip\r\n")
    assert reply.status == 413 and "too large, expected at most" in str(reply.json["error"])


def test_bodies_that_are_large_together_are_answered_with_try_again(exported: None, photos: dict[str, Path]) -> None:
    """Each is smaller than a body may be, and never comes to its end."""
    size = 42 * 2**20
    head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size + 1}\r\n\r\n".encode()
    with server() as (port, process), contextlib.ExitStack() as stack:
        waiting = [stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60)) for _ in range(7)]
        for connection in waiting:
            with contextlib.suppress(ConnectionError):  # The last one is answered before its end.
                connection.sendall(head + b" " * size)
        ready, _, _ = select.select(waiting, [], [], 30)
        assert [connection.recv(12) for connection in ready] == [b"HTTP/1.1 503"]
        assert memory_bytes(process.pid) < 1.2 * 2**30
        for connection in waiting:
            connection.close()
        until_s = time.monotonic() + 30
        while (reply := ask(port, question(photos["cat"].read_bytes()))).status != 200:
            assert reply.status == 503 and time.monotonic() < until_s


def memory_bytes(pid: int) -> int:
    """Resident now."""
    return int(psutil.Process(pid).memory_info().rss)


def test_a_client_that_goes_away_leaves_the_server_well(port: int, photos: dict[str, Path]) -> None:
    body = question(photos["cat"].read_bytes())
    for sent in (0, 10, len(body) // 2, len(body)):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(
                f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            )
            connection.sendall(body[:sent])
    assert ask(port, body).status == 200


def test_ends_when_told_to_and_finishes_what_it_has(photos: dict[str, Path]) -> None:
    stream = io.BytesIO()
    Image.open(photos["motorcycle"]).resize((5000, 3374)).save(stream, "WEBP", quality=50)  # Takes a while to decode.
    body = question(stream.getvalue())
    with server() as (port, process), concurrent.futures.ThreadPoolExecutor(1) as threads:
        assert ask(port, question(photos["cat"].read_bytes())).status == 200  # It is warm.
        reply = threads.submit(ask, port, body)
        time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        while reachable(port):
            time.sleep(0.01)
        assert not reply.done()
        assert reply.result().status == 200 and b'"motorbike"' in reply.result().body
        assert process.wait(20) == 0


def test_ctrl_c_ends_it_without_words(exported: None, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError, match="ended with exit status 130"), server() as (_, process):
        process.send_signal(signal.SIGINT)
        process.wait(20)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_it_ends_with_who_has_started_it(exported: None, number: signal.Signals) -> None:
    program = """
from common.server_process import running_server
with running_server("detection.server") as server:
    print(server.process.pid, flush=True)
    server.process.wait()
"""
    starter = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT / "examples",
        preexec_fn=hears_ctrl_c,
    )
    assert starter.stdout is not None
    started = psutil.Process(int(starter.stdout.readline()))
    starter.send_signal(number)
    starter.wait(30)
    assert not psutil.wait_procs([started], timeout=30)[1]
    starter.stdout.close()


def reachable(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def objects(port: int, photo: Path) -> list[dict[str, object]]:
    found = ask(port, question(photo.read_bytes())).json["objects"]
    assert isinstance(found, list)
    return found


@pytest.mark.parametrize("cut", ["max_pool2d#4", "input"])
def test_a_split_network_gives_the_same_answer(
    port: int, worker: splitnet.Worker, photos: dict[str, Path], cut: str
) -> None:
    begun = worker.stats.answered
    with server("--worker", worker.address, "--cut", cut) as (split, _):
        for path in photos.values():
            assert objects(split, path) == objects(port, path)
    assert worker.stats.answered >= begun + len(photos)


def test_a_plan_decides_without_a_cut(
    port: int, worker: splitnet.Worker, photos: dict[str, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    with server("--worker", worker.address) as (planned, _):
        assert objects(planned, photos["motorcycle"])[0]["label"] == "motorbike"
    assert "verdict: " in capfd.readouterr().err


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0 and "--worker ENDPOINT" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--host", "0.0.0.0"], 2, "--allow-remote"),
        (["--port", "many"], 2, "found 'many', expected a whole number from 0 to 65535"),
        (["--models", "/nowhere"], 1, "export_model.py makes it"),
        (["--cut", "4"], 1, "found no --worker"),
        (["--worker", "tcp://127.0.0.1:1", "--cut", "4"], 1, "tcp://127.0.0.1:1"),
        (["--worker", "tcp://127.0.0.1:1", "--cut", "no_such_layer"], 1, "no_such_layer"),
        (
            ["--worker", "tcp://127.0.0.1:1", "--cut", "4", "--codec", "transform:none"],
            1,
            "no tables of it were learned",
        ),
    ],
)
def test_wrong_usage(capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, words: str) -> None:
    try:
        found = main(arguments)
    except SystemExit as ended:
        assert isinstance(ended.code, int)
        found = ended.code
    assert (found, words in capsys.readouterr().err) == (code, True)
