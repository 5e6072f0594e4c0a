# SPDX-License-Identifier: Apache-2.0
"""What can be checked without the library: it may be the library that does not load."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

from splitnet.cli import worker as worker_command
from splitnet.cli.checks import Check, fail, ok, warn
from splitnet.units import format_bytes

BUSY_LOAD = 0.5  #: Runnable tasks for each processor, from which on times may be too long.
_OLDEST_PYTHON = (3, 10)
_SCARCE_BYTES = 1e9


def python() -> Check:
    """Its version."""
    found = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    if sys.version_info < _OLDEST_PYTHON:
        return fail("python", found, f"Python {'.'.join(map(str, _OLDEST_PYTHON))} or newer")
    return ok("python", found)


def processors() -> Check:
    """How many, and whether they have time: what is measured on a busy machine is of no use."""
    count = len(os.sched_getaffinity(0))
    load = os.getloadavg()[0]
    found = f"{count} processors, load {load:.2g}"
    if load > BUSY_LOAD * count:
        return warn("processors", found, "to measure (profile, plan, sweep) when nothing else runs here")
    return ok("processors", found)


def memory() -> Check:
    """What is left of it."""
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    kilobytes = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
    free = kilobytes["MemAvailable"] * 1024
    found = f"{format_bytes(free)} of {format_bytes(kilobytes['MemTotal'] * 1024)} are free"
    if free < _SCARCE_BYTES:
        return warn(
            "memory", found, "to end other programs: a model needs its parameters, and some copies of its inputs"
        )
    return ok("memory", found)


def worker_program() -> Check:
    """That the bundled program is there and runs. Raises Failure."""
    worker_command.check_program()
    result = subprocess.run(
        [worker_command.PROGRAM, "--version"], capture_output=True, text=True, timeout=60, check=False
    )
    if result.returncode != 0:
        reason = (result.stderr.strip().splitlines() or [f"it ended with {result.returncode}"])[-1]
        return fail("splitnet-worker", reason, "pip install --force-reinstall splitnet")
    return ok("splitnet-worker", result.stdout.strip())


def torch() -> Check:
    """That the torch that is there is the one that the library was built for, and both load."""
    try:
        import torch as found_torch

        import splitnet
        from splitnet._build_info import VERSION

        splitnet.TransportRegistry()
    except ImportError as error:
        return fail("torch", str(error), "the command that this sentence names, in this Python environment")
    return ok(
        "torch",
        f"torch {found_torch.__version__} with {found_torch.get_num_threads()} threads, splitnet {VERSION}",
    )
