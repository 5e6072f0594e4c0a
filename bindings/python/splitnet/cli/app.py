# SPDX-License-Identifier: Apache-2.0
"""The program: its commands, and how it ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Annotated, Any

import typer

from splitnet.cli import calibrate, doctor, layers, link, plan, profile, report, run, split, sweep, worker
from splitnet.cli.exit_codes import DONE, FAILED, INTERRUPTED, WRONG_USAGE
from splitnet.cli.failures import Failure, WrongUsage, failure_of, tell
from splitnet.cli.output import NobodyReads, end_output, give_up_output

app = typer.Typer(
    name="splitnet",
    help="Runs one neural network in several places: finds the cuts of a TorchScript model, measures machines and link, "
    "says which cut is best, or that none is, and runs the parts.",
    epilog=f"Exit codes: {DONE} done, {FAILED} failed, {WRONG_USAGE} wrong usage, {INTERRUPTED} interrupted by Ctrl-C.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _name_of(module: ModuleType) -> str:
    """A command is called as its module."""
    return module.__name__.rpartition(".")[2]


for _command in (layers, profile, link, calibrate, plan, split):
    app.command(_name_of(_command))(_command.command)
app.command(
    "worker",
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False, "help_option_names": []},
)(worker.command)
for _command in (run, sweep, report, doctor):
    app.command(_name_of(_command))(_command.command)


def _print_version(wanted: bool) -> None:
    if wanted:
        from splitnet._build_info import TORCH_VERSION, VERSION

        print(f"splitnet {VERSION}, built for torch {TORCH_VERSION}")
        raise typer.Exit


@app.callback()
def _global_options(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and end.", callback=_print_version, is_eager=True),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error arose; may stand anywhere.")] = False,
) -> None:
    """Both are looked after elsewhere: the version by its callback, `--debug` by `main`."""


def main(words: Sequence[str] | None = None) -> int:
    """Runs one command, `words` being the arguments behind the program's name, and returns its exit code. Without
    `words` they are those of this process, which ends here when it was interrupted."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 (`>&-`: nobody reads; it lasts as long as the process)
    code = _run(list(sys.argv[1:] if words is None else words))
    if words is None and code == INTERRUPTED:
        # Threads of the library may still be in the middle of a pass, and must not see the interpreter go.
        sys.stdout.flush()
        os._exit(code)
    return code


def _run(given: list[str]) -> int:
    command = next((word for word in given if not word.startswith("-")), "")
    # Everything behind `worker` is for the program that takes this one's place.
    own = given[: given.index("worker")] if command == "worker" else given
    debug = "--debug" in own
    kept = [word for word in own if word != "--debug"] + given[len(own) :]
    return _ending(lambda: app(kept, prog_name="splitnet", standalone_mode=False), f"splitnet {command}".strip(), debug)


def _ending(work: Callable[[], Any], command: str, debug: bool) -> int:
    """What `work` ends with, told to the user."""
    try:
        code = work()
        end_output()
        if code == INTERRUPTED:  # Typer makes this of KeyboardInterrupt.
            tell(Failure("interrupted"))
        return code if isinstance(code, int) else DONE
    except NobodyReads:
        give_up_output()
        return DONE
    except typer.Abort:
        return INTERRUPTED
    except Exception as error:
        failure = failure_of(error)
        if debug and failure.exit_code == FAILED:
            raise
        if isinstance(failure, WrongUsage) and not failure.next_step:
            failure.next_step = f"{command} --help"
        tell(failure)
        give_up_output()
        return failure.exit_code
