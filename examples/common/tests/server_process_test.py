# SPDX-License-Identifier: Apache-2.0
"""Programs that are no servers, or don't become one."""

from __future__ import annotations

from pathlib import Path

import pytest

from common import server_process
from common.server_process import running_server

PROGRAMS = {
    "raise SystemExit(3)": "did not start, exit status 3",
    "print('hello', flush=True)": "found 'hello\\\\n', expected 'listening on '",
    "print('listening on ' + 'x' * 5000, flush=True)": "found 'listening on xxx",
    "import time; time.sleep(600)": "did not start within 2 s",
}


@pytest.mark.parametrize(("program", "words"), PROGRAMS.items())
def test_what_does_not_listen_is_an_error(
    program: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "no_server.py").write_text(program)
    monkeypatch.setattr(server_process, "_PATH", str(tmp_path))
    if "sleep" in program:
        monkeypatch.setattr(server_process, "_START_TIMEOUT_S", 2.0)
    with pytest.raises(RuntimeError, match=words), running_server("no_server"):
        pass
