# SPDX-License-Identifier: Apache-2.0
"""Children that don't answer, don't end when they are asked, or lose who has started them."""

from __future__ import annotations

import contextlib
import http.server
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from common.child_process import end_child, start_child, wait_for_answer
from common.package_files import ROOT

#: Says its number when it is what start_child makes of it, and does nothing.
IDLE = ["sh", "-c", "echo $$; exec sleep 600"]
STUBBORN = ["sh", "-c", "trap '' TERM; echo $$; exec sleep 600"]


@contextlib.contextmanager
def child(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """Begun."""
    process = start_child(command, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        with process.stdout as said:
            assert int(said.readline()) == process.pid
            yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("status", [200, 503])
def test_an_answer_counts_when_it_is_none_of_an_error(status: int) -> None:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *values: object) -> None:
            pass

    with child(IDLE) as process, http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_port}"
            if status == 200:
                wait_for_answer(process, url, 30)
            else:
                with pytest.raises(TimeoutError, match=f"{url} was not answered after 0.1 s"):
                    wait_for_answer(process, url, 0.1)
        finally:
            server.shutdown()
            thread.join()


def test_nobody_answers() -> None:
    with socket.socket() as taken, child(IDLE) as process:
        taken.bind(("127.0.0.1", 0))  # And doesn't listen.
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(TimeoutError, match=f"{url} was not answered after 0.1 s"):
            wait_for_answer(process, url, 0.1)
        process.kill()
        process.wait()
        with pytest.raises(RuntimeError, match=f"that was to serve {url} ended with status -9"):
            wait_for_answer(process, url, 30)


@pytest.mark.parametrize(("command", "expected"), [(IDLE, signal.SIGTERM), (STUBBORN, signal.SIGKILL)])
def test_it_is_asked_to_end_and_killed_when_it_does_not(command: list[str], expected: signal.Signals) -> None:
    with child(command) as process:
        end_child(process, 30 if command is IDLE else 0.1)
        assert process.returncode == -expected


def test_it_ends_when_who_started_it_is_killed() -> None:
    program = f"from common.child_process import start_child; start_child({IDLE}, stdout=None).wait()"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "examples")}
    starter = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=environment)
    assert starter.stdout is not None
    number = int(starter.stdout.readline())
    starter.kill()
    try:
        assert starter.communicate(timeout=30)[0] == ""  # The output ends when both have: they share it.
    except subprocess.TimeoutExpired:
        os.kill(number, signal.SIGKILL)
        raise
