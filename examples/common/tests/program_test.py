# SPDX-License-Identifier: Apache-2.0
"""Modules that are run as programs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from common.package_files import ROOT
from common.tests.ctrl_c import hears_ctrl_c

CTRL_C = "import signal; signal.raise_signal(signal.SIGINT)\n"


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("import sys\nprint(__name__, sys.argv[1:])\nsys.exit(3)", (3, "__main__ ['--of', 'it']\n", "")),
        (CTRL_C, (130, "", "")),
        (f"try:\n    {CTRL_C}except BaseException:\n    pass", (130, "", "")),
        (f"import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n{CTRL_C}", (130, "", "")),
    ],
)
def test_it_runs_and_ends_as_it_should(program: str, expected: tuple[int, str, str], tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(program)
    told = subprocess.run(
        [sys.executable, "-m", "common.program", "program", "--of", "it"],
        env={**os.environ, "PYTHONPATH": f"{ROOT}/examples:{tmp_path}"},
        capture_output=True,
        text=True,
        preexec_fn=hears_ctrl_c,
    )
    assert (told.returncode, told.stdout, told.stderr) == expected
