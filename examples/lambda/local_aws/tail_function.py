# SPDX-License-Identifier: Apache-2.0
"""A tail as it is deployed: splitnet's worker with a prepared model, whose likely stages are cut while it starts."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from .configuration import Function

WORKER = Path(__file__).resolve().parents[3] / "build/release/splitnet-worker"


def tail_function(
    name: str,
    model: Path,
    *,
    inputs: Sequence[str] = (),
    cuts: Sequence[str] = (),
    memory_megabytes: int = 1769,
    timeout_s: int = 30,
    concurrency: int = 2,
    token: str = "",
    worker: Path = WORKER,
) -> Function:
    """Serves the file `model` under its stem.

    `inputs`: shapes as `--input` of the worker takes them, for sessions that plan; none makes the start shorter. `cuts`:
    as `--cut` takes them. `token`: what callers of its URL have to show; empty: its URL lets in everybody. Raises
    FileNotFoundError (model or worker), RuntimeError (the model can't be prepared).
    """
    options = [word for shape in inputs for word in ("--input", shape)]
    options += [word for cut in cuts for word in ("--cut", cut)]
    return Function(
        name=name,
        command=[
            *(str(worker), f"{model.stem}={prepared_model(model, worker)}", "--threads", "1", *options),
            *("--listen", "lambda-runtime://"),
        ],
        # Threads that wait for one another burn the time of a function that has one processor or less.
        environment={"OMP_NUM_THREADS": "1"} | ({"SPLITNET_TOKEN": token} if token else {}),
        memory_megabytes=memory_megabytes,
        timeout_s=timeout_s,
        concurrency=concurrency,
    )


def prepared_model(model: Path, worker: Path = WORKER) -> Path:
    """The file MODEL.prepared beside the model: made where it is missing or older than the model or the worker.

    Raises FileNotFoundError (model or worker), RuntimeError (it can't be prepared, and why).
    """
    if not model.is_file():
        raise FileNotFoundError(f"there is no model {model}")
    if not worker.is_file():
        raise FileNotFoundError(f"{worker} is missing: scripts/build release makes it")
    prepared = model.with_suffix(".prepared")
    newest_s = max(model.stat().st_mtime, worker.stat().st_mtime)
    if prepared.is_file() and prepared.stat().st_mtime >= newest_s:
        return prepared
    unfinished = prepared.with_name(f"{prepared.name}.{os.getpid()}")  # Others may be making it, too.
    try:
        done = subprocess.run([worker, model, "--prepare", unfinished], capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"{model} can't be prepared: {done.stderr.strip()}")
        unfinished.rename(prepared)
    finally:
        unfinished.unlink(missing_ok=True)
    return prepared
