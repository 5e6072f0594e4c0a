# SPDX-License-Identifier: Apache-2.0
"""Bars on standard error where that is a terminal; elsewhere one line when a step begins."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from splitnet.cli.output import say

#: Told how much of how much is done.
Step = Callable[[float, float], None]
#: The same, and what is done now.
NamedStep = Callable[[str, float, float], None]


@contextmanager
def progress(what: str) -> Iterator[Step]:
    """A bar for one step, with the time that remains; gone when it is done."""
    with named_progress(what) as step:
        yield lambda done, total: step(what, done, total)


@contextmanager
def named_progress(first: str) -> Iterator[NamedStep]:
    """A bar whose name changes as it goes on. The function may be called from any thread."""
    if not sys.stderr.isatty():
        yield _lines(first)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(first, total=None)
        yield lambda name, done, total: bars.update(task, description=name, completed=done, total=total)


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """For a step of which nobody knows how far it is."""
    with named_progress(what):
        yield


def _lines(first: str) -> NamedStep:
    say(first)
    said = first

    def step(name: str, done: float, total: float) -> None:
        nonlocal said
        if name != said:
            said = name
            say(name)

    return step
