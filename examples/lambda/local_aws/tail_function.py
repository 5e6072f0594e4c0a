# SPDX-License-Identifier: Apache-2.0
"""A tail as it is deployed: splitnet's worker with a prepared model, whose likely stages are cut while it starts.

`tail_function` starts the worker of this machine, `image_function` the one of an assembled image, as Lambda would.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from .configuration import Function

WORKER = Path(__file__).resolve().parents[3] / "build/release/splitnet-worker"
_IN_IMAGE = Path(__file__).resolve().parents[1] / "in_image"


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
    store: str = "",
    worker: Path = WORKER,
) -> Function:
    """Serves the file `model` under its stem.

    `inputs`: shapes as `--input` of the worker takes them, for sessions that plan; none makes the start shorter. `cuts`:
    as `--cut` takes them. `token`: what callers of its URL have to show; empty: its URL lets in nobody. `store`: as
    SPLITNET_STORE has it; empty: what an invocation does not take is refused. Raises FileNotFoundError (model or
    worker), RuntimeError (the model can't be prepared).
    """
    return Function(
        name=name,
        command=[str(worker), f"{model.stem}={prepared_model(model, worker)}", *_options(inputs, cuts)],
        environment=_environment(token, store),
        memory_megabytes=memory_megabytes,
        timeout_s=timeout_s,
        concurrency=concurrency,
    )


def image_function(
    name: str,
    image: Path,
    model: str,
    *,
    inputs: Sequence[str] = (),
    cuts: Sequence[str] = (),
    memory_megabytes: int = 1769,
    timeout_s: int = 30,
    concurrency: int = 2,
    token: str = "",
    store: str = "",
) -> Function:
    """Serves /models/MODEL.pt of an image that assemble_image.py made, with the entry point of the Dockerfile.

    The rest as in tail_function.
    """
    program = ["/bootstrap", "/splitnet-worker", f"/models/{model}.pt", "--log-format", "json"]
    return Function(
        name=name,
        command=[str(_IN_IMAGE), str(image.resolve()), *program, *_options(inputs, cuts)],
        environment=_environment(token, store),
        memory_megabytes=memory_megabytes,
        timeout_s=timeout_s,
        concurrency=concurrency,
    )


def _options(inputs: Sequence[str], cuts: Sequence[str]) -> list[str]:
    given = [word for shape in inputs for word in ("--input", shape)]
    given += [word for cut in cuts for word in ("--cut", cut)]
    return ["--listen", "lambda-runtime://", "--threads", "1", *given]


def _environment(token: str, store: str) -> dict[str, str]:
    """Threads that wait for one another burn the time of a function that has one processor or less."""
    given = {"SPLITNET_TOKEN": token, "SPLITNET_STORE": store}
    return {"OMP_NUM_THREADS": "1", **{name: value for name, value in given.items() if value}}


def prepared_model(model: Path, worker: Path = WORKER) -> Path:
    """The file MODEL.prepared beside the model: made where it is missing or older than the model or the worker.
    The worker puts it in place when it is whole.

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
    done = subprocess.run([worker, model, "--prepare", prepared], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{model} can't be prepared: {done.stderr.strip()}")
    return prepared
