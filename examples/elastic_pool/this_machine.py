# SPDX-License-Identifier: Apache-2.0
"""What this machine has room for."""

from __future__ import annotations

import os

import psutil  # type: ignore[import-untyped]

from elastic_pool.policies import machine_workers

_WORKER_BYTES = 400 * 2**20  #: Of memory, for a worker with one of the classifiers.


def most_workers() -> int:
    """Of one thread each, that can run at once; 1 also where memory is short, for nothing would be done otherwise."""
    memory_bytes = max(_WORKER_BYTES, psutil.virtual_memory().available)
    return machine_workers(len(os.sched_getaffinity(0)), 1, memory_bytes, _WORKER_BYTES)
