# SPDX-License-Identifier: Apache-2.0
"""Ray on this machine alone: everything on loopback, a token of its own, no dashboard, no usage statistics.

Import it before `ray`, which reads some of this when it is imported.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from typing import Any

os.environ.update(
    RAY_AUTH_MODE="token",
    RAY_AUTH_TOKEN=secrets.token_hex(32),
    # A node that other machines can't join listens on loopback only.
    RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0",
    RAY_USAGE_STATS_ENABLED="0",
    # By default 15: actors would wait for whatever else this machine does.
    RAY_worker_niceness="0",
)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Ray Serve's models for pydantic are of an earlier version.
    import ray as ray
    from ray import serve as serve

_STORE_BYTES = 256 * 2**20


@contextlib.contextmanager
def local_ray(cpus: int, **settings: Any) -> Iterator[None]:
    """`cpus` are places for actors, however many processors there are. All processes end, and all files go."""
    # Unix sockets lie in it, whose paths must be short.
    folder = tempfile.mkdtemp(prefix="ray-")
    try:
        ray.init(
            num_cpus=cpus,
            include_dashboard=False,
            object_store_memory=_STORE_BYTES,
            configure_logging=False,
            log_to_driver=False,
            _node_ip_address="127.0.0.1",
            _temp_dir=folder,
            **settings,
        )
        yield
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)
