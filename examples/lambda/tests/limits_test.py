# SPDX-License-Identifier: Apache-2.0
"""Processor time and memory of an execution environment."""

from __future__ import annotations

import pytest

from local_aws import LocalAws

from .conftest import Clients

WORK = {"do": "work", "seconds": 0.08}


def test_half_the_memory_takes_twice_as_long(aws: LocalAws, clients: Clients) -> None:
    """708 and 354 MB are 0.4 and 0.2 vCPU: a second busy processor doesn't disturb. The best of interleaved rounds."""
    if not aws.simulates_memory:
        pytest.fail(f"this machine can't simulate memory sizes: {aws.limits}")
    for function in ("quicker", "slower"):
        clients.invoke(function, {})
    before = {function: len(aws.invocations(function)) for function in ("quicker", "slower")}
    for _ in range(4):
        clients.invoke("quicker", WORK)
        clients.invoke("slower", WORK)
    best_s = {name: min(one.duration_s for one in aws.invocations(name)[begin:]) for name, begin in before.items()}
    assert best_s["quicker"] > 0.12
    assert 1.5 < best_s["slower"] / best_s["quicker"] < 2.8


def test_out_of_memory_and_the_next_call_answers(aws: LocalAws, clients: Clients) -> None:
    assert clients.invoke("small", {"do": "allocate", "megabytes": 60})["value"] == 60 * 2**20
    assert 60 * 2**20 < aws.invocations("small")[-1].peak_memory_bytes <= 128 * 2**20
    answer = clients.invoke("small", {"do": "allocate", "megabytes": 300})
    assert answer["FunctionError"] == "Unhandled"
    assert answer["value"]["errorType"] == "Runtime.ExitError"
    assert answer["value"]["errorMessage"].endswith("Runtime exited with error: signal: killed")
    assert 120 * 2**20 < aws.invocations("small")[-1].peak_memory_bytes <= 128 * 2**20
    assert clients.invoke("small", [1])["value"] == [1]
    assert aws.invocations("small")[-1].peak_memory_bytes < 60 * 2**20
