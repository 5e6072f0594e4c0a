# SPDX-License-Identifier: Apache-2.0
"""The page's process is for this machine alone, and never outlives who started it."""

from __future__ import annotations

import subprocess
import sys

import psutil  # type: ignore[import-untyped]
import pytest

from common.package_files import ROOT
from emotion.page_server import running_page

STARTER = """
import time
from emotion.page_server import running_page
with running_page() as page:
    print(page.process.pid, flush=True)
    time.sleep(600)
"""


def test_listens_on_loopback_alone_and_ends() -> None:
    with running_page() as page:
        process = psutil.Process(page.process.pid)
        listening = [one.laddr.ip for one in process.net_connections() if one.status == psutil.CONN_LISTEN]
        assert listening == ["127.0.0.1"]
    assert not process.is_running()


def test_ends_when_who_started_it_is_killed() -> None:
    path = {"PYTHONPATH": f"{ROOT}/examples:{ROOT}/examples/lambda"}
    with subprocess.Popen([sys.executable, "-c", STARTER], stdout=subprocess.PIPE, text=True, env=path) as starter:
        assert starter.stdout is not None
        page = psutil.Process(int(starter.stdout.readline()))
        starter.kill()
    page.wait(60)


def test_says_that_it_did_not_start() -> None:
    environment = {"STREAMLIT_SERVER_ADDRESS": "256.0.0.1"}
    with pytest.raises(RuntimeError, match="ended with status [1-9]"), running_page(environment=environment):
        pass
