# SPDX-License-Identifier: Apache-2.0
"""The client against the local server, and against servers that misbehave."""

from __future__ import annotations

import http.server
import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image, ImageChops

from common.package_files import ROOT
from common.server_process import ServerProcess, running_server
from common.tests.ctrl_c import hears_ctrl_c
from detection.client import main


@pytest.fixture(scope="module")
def server(exported: None) -> Iterator[ServerProcess]:
    with running_server("detection.server") as started:
        yield started


@pytest.fixture
def folder(tmp_path: Path, photos: dict[str, Path]) -> Path:
    """Two photos, a letter, an empty file, and a folder in the folder."""
    made = tmp_path / "pictures"
    made.mkdir()
    for name in ("cat", "coffee"):
        shutil.copy(photos[name], made)
    (made / "letter.txt").write_text("Dear reader")
    (made / "nothing.jpg").touch()
    (made / "more").mkdir()
    return made


def test_sends_a_folder_and_averages(server: ServerProcess, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(folder), "--server", server.url]) == 0
    told = capsys.readouterr()
    lines = told.err.splitlines()
    assert lines[0].startswith("1/4 cat.jpg: cat 0.") and lines[1].startswith("2/4 coffee.jpg: cup 0.")
    assert lines[2] == "3/4 letter.txt: skipped: image_data: found 11 bytes that are no picture, expected one: " + (
        "cannot identify image file"
    )
    assert lines[3] == "4/4 nothing.jpg: skipped: image_data: found an empty file, expected a picture"
    rows = {line.split("  ")[1]: line.split()[-7::2] for line in told.out.splitlines() if line.count(" / ") == 3}
    assert list(rows) == ["time", "inference", "whole call"]
    for name in ("inference", "whole call"):
        mean, deviation, least, greatest = map(float, rows[name])
        assert 0 < least <= mean <= greatest and deviation >= 0
    assert float(rows["inference"][0]) < float(rows["whole call"][0])
    assert told.out.splitlines()[-1] == "2 answered, 2 skipped, 0 failed"


def test_draws_boxes(server: ServerProcess, folder: Path, tmp_path: Path) -> None:
    drawn = tmp_path / "drawn"
    assert main([str(folder), "--server", server.url, "--draw", str(drawn)]) == 0
    assert sorted(file.name for file in drawn.iterdir()) == ["cat.jpg", "coffee.jpg"]
    with Image.open(drawn / "cat.jpg") as after, Image.open(folder / "cat.jpg") as before:
        assert after.size == before.size
        changed = ImageChops.difference(after, before).convert("L").point(lambda value: 255 if value > 60 else 0)
        left, top, right, bottom = changed.getbbox() or (0, 0, 0, 0)
    assert right - left > 150 and bottom - top > 150  # A box as large as the cat.


def test_a_folder_without_pictures(server: ServerProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "letter.txt").write_text("Dear reader")
    assert main([str(tmp_path), "--server", server.url]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "0 answered, 1 skipped, 0 failed"


@pytest.mark.parametrize(
    "arguments",
    [["/nowhere"], ["."] * 2, [".", "--remote"], [".", "--remote", "--bucket", "b"], [".", "--timeout", "soon"]],
)
def test_wrong_usage(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2


def test_nobody_there(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(folder), "--server", "http://127.0.0.1:1/object-detection"]) == 1
    told = capsys.readouterr()
    assert "1/4 cat.jpg: FAILED: http://127.0.0.1:1/object-detection: " in told.err
    assert told.out.splitlines()[-1] == "0 answered, 0 skipped, 4 failed"


@contextmanager
def stub(status: int, body: bytes) -> Iterator[str]:
    """A server that says the same to everybody."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as started:
        threading.Thread(target=started.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{started.server_address[1]}/"
        started.shutdown()


@pytest.mark.parametrize(
    ("status", "answer", "words"),
    [
        (500, {"error": "the detector failed"}, "answered 500: the detector failed"),
        (200, {"id": "another", "objects": [], "inference_time": 1.0}, "found the answer to another, expected"),
        (200, {"objects": []}, "expected id, objects and inference_time"),
        (200, ["a list"], "expected id, objects and inference_time"),
    ],
)
def test_answers_that_are_none(
    folder: Path, capsys: pytest.CaptureFixture[str], status: int, answer: object, words: str
) -> None:
    with stub(status, json.dumps(answer).encode()) as url:
        assert main([str(folder), "--server", url]) == 1
    assert words in capsys.readouterr().err


def test_ctrl_c_ends_it_without_a_traceback(folder: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-m", "detection.client", str(folder), "--server"]
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        client = subprocess.Popen(
            [*command, url], stderr=subprocess.PIPE, text=True, cwd=ROOT / "examples", preexec_fn=hears_ctrl_c
        )
        connection, _ = silent.accept()
        client.send_signal(signal.SIGINT)
        _, told = client.communicate(timeout=30)
        connection.close()
    assert (client.returncode, told) == (130, "detection.client: interrupted\n")


def test_an_answer_that_is_not_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with stub(200, b"<html>") as url:
        assert main([str(folder), "--server", url]) == 1
    assert "1/4 cat.jpg: FAILED: " in capsys.readouterr().err
