# SPDX-License-Identifier: Apache-2.0
"""From exceptions to one sentence and the next thing to try."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import typer

from splitnet.cli.exit_codes import FAILED, WRONG_USAGE

# Click is a package of its own beside older versions of Typer, and a part of newer ones; this is its UsageError.
_USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]
_BUG = "splitnet --debug … shows where; please report it"


class Failure(Exception):
    """The command can't be done: `sentence` says why, `next_step` what to try, if anything is known to help."""

    def __init__(self, sentence: str, next_step: str = "", exit_code: int = FAILED) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.next_step = next_step
        self.exit_code = exit_code


class WrongUsage(Failure):
    """The words of the command line do not go together, or mean nothing."""

    def __init__(self, sentence: str, next_step: str = "") -> None:
        super().__init__(sentence, next_step, exit_code=WRONG_USAGE)


def tell(failure: Failure) -> None:
    """On standard error."""
    lines = [f"splitnet: {failure.sentence}"] + ([f"try: {failure.next_step}"] if failure.next_step else [])
    print("\n".join(lines), file=sys.stderr)


def failure_of(error: Exception) -> Failure:
    """What to say of an error that a command left to its caller."""
    from splitnet.errors import Error

    if isinstance(error, Failure):
        return error
    if isinstance(error, _USAGE_ERROR):
        return _of_usage(error)
    if isinstance(error, Error):
        return Failure(one_sentence(error), _next_step_by_class(error))
    if isinstance(error, ImportError):
        return Failure(str(error), "splitnet doctor")
    if isinstance(error, OSError):
        return _of_system(error)
    if isinstance(error, MemoryError):
        return Failure("out of memory", "smaller inputs, or a machine with more memory")
    return Failure(f"{type(error).__name__}: {one_sentence(error)}", _BUG)


def one_sentence(error: BaseException) -> str:
    """The first line of its text; `--debug` shows the rest."""
    text = str(error).strip()
    return text.splitlines()[0].rstrip(".") if text else type(error).__name__


@contextmanager
def worker_failures(worker: str, model: Path | None = None, inputs: Sequence[str] = ()) -> Iterator[None]:
    """Knows what to try when something is the matter with the worker at this endpoint."""
    from splitnet.errors import Error

    try:
        yield
    except Error as error:
        next_step = _next_step_with_worker(error, worker, model, inputs)
        if not next_step:
            raise
        raise Failure(one_sentence(error), next_step) from error


def _next_step_with_worker(error: Exception, worker: str, model: Path | None, inputs: Sequence[str]) -> str:
    from splitnet.errors import Incompatible, InvalidArgument, Unauthenticated, Unavailable

    if isinstance(error, Unauthenticated):
        return "--token-file FILE, with the token that the worker was started with"
    if isinstance(error, Unavailable):
        if is_near(worker):
            return worker_command(worker, model, inputs)
        return shlex.join(["splitnet", "doctor", "--worker", worker])
    if isinstance(error, Incompatible):
        return f"to serve the same file: {worker_command(worker, model, inputs)}"
    if "://" not in worker:
        return f"tcp://{worker}"
    if isinstance(error, InvalidArgument) and "without inputs" in str(error):
        return f"to serve it with its inputs: {worker_command(worker, model, inputs)}"
    return ""


def worker_command(worker: str, model: Path | None, inputs: Sequence[str]) -> str:
    """What starts a worker there."""
    shapes = list(inputs) or ["SHAPE"]
    words = ["splitnet", "worker", str(model or "MODEL.pt"), *(word for shape in shapes for word in ("--input", shape))]
    return shlex.join([*words, "--listen", unshaped(worker)])


def unshaped(endpoint: str) -> str:
    """The endpoint behind a modelled link."""
    return endpoint.partition("@")[2] if endpoint.startswith("shaped://") else endpoint


def is_near(endpoint: str) -> bool:
    """On this machine, so that a worker can be started there."""
    scheme, _, place = unshaped(endpoint).partition("://")
    return scheme in ("shm", "unix") or place.startswith(("127.", "localhost", "[::1]"))


def _next_step_by_class(error: Exception) -> str:
    from splitnet.errors import DeadlineExceeded, Overloaded, UnsupportedModel

    if isinstance(error, UnsupportedModel):
        return "splitnet layers MODEL.pt lists the cuts, and why some are refused"
    if isinstance(error, Overloaded):
        wait = "a little later" if error.retry_after_s is None else f"again in {error.retry_after_s:.3g} s"
        return f"{wait}, or a worker with more --executors"
    if isinstance(error, DeadlineExceeded):
        return "a longer --deadline, or splitnet doctor --worker ENDPOINT"
    return ""


def _of_usage(error: Exception) -> Failure:
    text: str = error.format_message() if hasattr(error, "format_message") else str(error)
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "splitnet"
    return WrongUsage(text.removeprefix("Value error, ").rstrip("."), f"{path} --help")


def _of_system(error: OSError) -> Failure:
    where = f"{error.filename}: " if error.filename else ""
    return Failure(f"{where}{error.strerror or one_sentence(error)}")
