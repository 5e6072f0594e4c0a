# SPDX-License-Identifier: Apache-2.0
"""Execution environments on a machine whose control groups can't be written: nothing is slower, memory is watched."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from local_aws import Function
from local_aws.function import FunctionPool
from local_aws.limits import Support

from .conftest import RUNTIME

NOTHING = Support(cpu=None, memory=None, version=1)


async def run_without_groups() -> None:
    function = Function("small", RUNTIME, memory_megabytes=128, timeout_s=10)
    pool = FunctionPool(function, os.environ, NOTHING, lambda _, line: None)
    try:
        event = {"do": "allocate", "megabytes": 60}
        assert (await pool.invoke(json.dumps(event).encode(), {})).payload == b"62914560"
        assert 60 * 2**20 < pool.invocations[-1].peak_memory_bytes < 128 * 2**20
        event = {"do": "allocate", "megabytes": 300, "seconds": 5}
        result = await pool.invoke(json.dumps(event).encode(), {})
        assert result.error and result.error.endswith("Runtime exited with error: signal: killed")
        assert (await pool.invoke(b"[1]", {})).payload == b"[1]"
    finally:
        await pool.close()


def test_memory_is_watched() -> None:
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    asyncio.run(run_without_groups())
    assert {child.pid for child in psutil.Process().children(recursive=True)} <= before


def test_what_is_said_about_it() -> None:
    assert "NOT simulated" in NOTHING.describe() and "watching" in NOTHING.describe()
    assert "simulated by CPU quota" in Support(cpu=Path("/"), memory=Path("/"), version=2).describe()
