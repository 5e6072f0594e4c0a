# SPDX-License-Identifier: Apache-2.0
"""moto's server as a process: what becomes of one that doesn't start."""

from __future__ import annotations

import psutil  # type: ignore[import-untyped]
import pytest

from local_aws import moto_server
from local_aws.moto_server import MotoServer


def test_one_that_does_not_answer_in_time_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moto_server, "_START_TIMEOUT_S", 0.0)
    before = psutil.Process().children()
    server = MotoServer()
    (process,) = set(psutil.Process().children()) - set(before)
    with pytest.raises(TimeoutError, match=f"{server.url}/.* was not answered after 0 s"):
        server.wait()
    assert not process.is_running()
    server.stop()  # A second time does no harm.
