# SPDX-License-Identifier: Apache-2.0
"""`splitnet worker`: the bundled program `splitnet-worker`, which takes the place of this one."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from splitnet.cli.failures import Failure

#: Beside the package's modules.
PROGRAM = Path(__file__).parent.parent / "bin" / "splitnet-worker"


def command(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="MODEL.pt … OPTIONS", help="Those of splitnet-worker.")
    ] = None,
) -> None:
    """Serve models to sessions on other machines or in other processes.

    `splitnet worker --help` lists the options of the program `splitnet-worker`, which this is.
    """
    check_program()
    sys.stdout.flush()
    os.execv(PROGRAM, [str(PROGRAM), *(words or [])])


def check_program() -> None:
    """Raises Failure: it is not there, or no program."""
    if not PROGRAM.is_file():
        raise Failure(f"the program splitnet-worker is missing at {PROGRAM}", "pip install --force-reinstall splitnet")
    if not os.access(PROGRAM, os.X_OK):
        raise Failure(f"{PROGRAM} can't be run: no permission", f"chmod +x {PROGRAM}")
