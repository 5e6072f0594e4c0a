# SPDX-License-Identifier: Apache-2.0
"""What is checked with the library: inferences through workers of this process, ports, and a worker elsewhere."""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from splitnet.cli.checks import Check, fail, ok, warn
from splitnet.cli.failures import one_sentence, worker_failures
from splitnet.cli.inputs import load_model
from splitnet.cli.workers import registry_of, token_of
from splitnet.errors import Unavailable
from splitnet.units import format_time

if TYPE_CHECKING:
    import splitnet

_PROBE_TIMEOUT_S = 20.0
_PROBE_BYTES = 1 << 16
Named = tuple[str, Callable[[], Check]]


@dataclass(frozen=True)
class Access:
    """A worker elsewhere, and what it wants to see."""

    worker: str | None
    token_file: Path | None
    ca_file: Path | None


def checks(
    access: Access,
    listen: str | None,
    default_listen: str,
    model: Path | None,
    inputs: Sequence[str] | None,
    input_file: Path | None,
) -> Iterator[Named]:
    """In the order in which they are made; later ones make no sense when the first fails."""
    yield "loopback", lambda: split_inference("loopback", "tcp://127.0.0.1:0")
    yield "shared memory", lambda: split_inference("shared memory", f"shm://splitnet-doctor-{os.getpid()}")
    yield "port", lambda: port(access, listen, default_listen)
    if access.worker:
        yield "worker", lambda: worker_answers(access)
    if model:
        yield "model", lambda: model_works(model, inputs, input_file, access)


@functools.cache
def small_model() -> splitnet.Partitioner:
    """Two linear layers."""
    import torch

    import splitnet

    module = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2)).eval()
    example = torch.ones(1, 8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # That TorchScript is deprecated is not the user's to mend.
        return splitnet.Partitioner(torch.jit.trace(module, example), [example])  # type: ignore[no-untyped-call]


def split_inference(name: str, endpoint: str) -> Check:
    """One inference through a worker in this process."""
    import torch

    import splitnet

    part = small_model()
    inputs = part.example_inputs
    with (
        splitnet.Worker(part, endpoint) as served,
        splitnet.Session(part, worker=served.address, cut=0, finish_on_device=False) as session,
    ):
        answer = session.run(*inputs)
    if not torch.equal(answer.output, part.run_stages([], inputs)):
        return fail(
            name, "head and tail give other bits than the model", "to report it, with the output of this command"
        )
    return ok(name, f"a split inference took {format_time(answer.times.total_s)}")


def port(access: Access, listen: str | None, default_listen: str) -> Check:
    """Whether a worker could listen there."""
    import splitnet

    endpoint = listen or default_listen
    if endpoint == access.worker:
        return ok("port", f"{endpoint} is where the worker listens")
    try:
        splitnet.Worker(small_model(), endpoint, token=token_of(access.token_file)).close()
    except Unavailable as error:
        another = "another --listen, as tcp://127.0.0.1:0, which chooses a free port; or to end what listens there"
        found = one_sentence(error)
        return fail("port", found, another) if listen else warn("port", found, another)
    return ok("port", f"{endpoint} is free")


def worker_answers(access: Access) -> Check:
    """That it answers, and how soon; `splitnet link` measures more."""
    import splitnet

    worker = str(access.worker)
    options = splitnet.ConnectOptions(token=token_of(access.token_file))
    probe = splitnet.LinkProbeOptions(
        small_messages=5, large_messages=1, max_bytes=_PROBE_BYTES, timeout_s=_PROBE_TIMEOUT_S
    )
    with worker_failures(worker), registry_of(access.ca_file).connect(worker, options) as connection:
        link = splitnet.probe_link(connection, probe)
    return ok("worker", f"{worker} answers in {format_time(link.rtt_s + link.overhead_s)}")


def model_works(model: Path, inputs: Sequence[str] | None, input_file: Path | None, access: Access) -> Check:
    """That it can be cut, and that the worker has this version of it and takes requests. Raises Failure."""
    import splitnet

    part = load_model(model, inputs, input_file, need_inputs=False)
    cuts = part.cuts()
    legal = sum(not cut.refusal for cut in cuts)
    found = f"{part.name}: {len(part.layers.layers)} layers, {legal} of {len(cuts)} cuts are legal"
    if not access.worker:
        return ok("model", found)
    with worker_failures(access.worker, model, inputs or ()):
        splitnet.Session(
            part, worker=access.worker, token=token_of(access.token_file), registry=registry_of(access.ca_file)
        ).close()
    return ok("model", f"{found}; {access.worker} has it, fingerprint {part.fingerprint}")
