# SPDX-License-Identifier: Apache-2.0
"""From an `nn.Module` to TorchScript: traced or scripted, and which of them is said aloud."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch

from splitnet.errors import InvalidArgument, UnsupportedModel


class Notice(UserWarning):
    """Something that the library has decided for its user, who may want to know."""


def to_script_module(module: torch.nn.Module, example_inputs: Sequence[Any]) -> torch.jit.ScriptModule:
    """TorchScript of the module in evaluation mode; the module itself is not changed.

    With example inputs it is traced: what the module does with them is what the model does. Where the tracer warns that
    Python decides by the values of tensors, which a trace can't follow, it is scripted instead. Without example inputs
    it is scripted. A `Notice` (a warning) says which.

    Raises UnsupportedModel with the words of both compilers when neither can.
    """
    if isinstance(module, torch.jit.ScriptModule):
        return module
    modes = [(part, part.training) for part in module.modules()]  # Frozen parts are in another than the whole.
    module.eval()
    try:
        return _traced_or_scripted(module, tuple(example_inputs))
    finally:
        for part, training in modes:
            part.training = training


def _traced_or_scripted(module: torch.nn.Module, example_inputs: tuple[Any, ...]) -> torch.jit.ScriptModule:
    name = type(module).__name__
    if not example_inputs:
        scripted, why_not = _scripted(module)
        if scripted is None:
            raise UnsupportedModel(
                f"{name} can't be scripted: {why_not}. Give example_inputs, and it will be traced instead"
            )
        _say(f"{name} was scripted, since there are no example inputs to trace it with")
        return scripted
    traced, doubts = _traced(module, example_inputs)
    if traced is not None and not doubts:
        _say(f"{name} was traced with the example inputs: control flow in Python is fixed as it went with them")
        return traced
    scripted, why_not = _scripted(module)
    if scripted is not None:
        _say(f"{name} was scripted, since a trace would not follow it: {doubts}")
        return scripted
    if traced is not None:
        _say(
            f"{name} was traced, but a trace does not follow all of it ({doubts}), and it can't be scripted: {why_not}"
        )
        return traced
    raise UnsupportedModel(f"{name} can neither be traced ({doubts}) nor scripted ({why_not})")


def _traced(module: torch.nn.Module, example_inputs: tuple[Any, ...]) -> tuple[torch.jit.ScriptModule | None, str]:
    """The trace, if there is one, and what speaks against it."""
    with warnings.catch_warnings(record=True) as caught, torch.no_grad():
        warnings.simplefilter("always")
        try:
            traced = torch.jit.trace(module, example_inputs, check_trace=False)  # type: ignore[no-untyped-call]
        except Exception as error:  # The module's code may raise anything.
            _check_runs(module, example_inputs)
            return None, _first_line(error)
    tracer_warning: type[Warning] = torch.jit.TracerWarning  # type: ignore[attr-defined]
    doubts = [str(one.message) for one in caught if issubclass(one.category, tracer_warning)]
    return traced, _shortened(doubts[0]) if doubts else ""


def _check_runs(module: torch.nn.Module, example_inputs: tuple[Any, ...]) -> None:
    """Raises InvalidArgument from what the module itself raises: no compiler is to blame then."""
    try:
        module(*example_inputs)
    except Exception as error:
        name = type(module).__name__
        raise InvalidArgument(f"{name} fails on the example inputs: {type(error).__name__}: {error}") from error


def _scripted(module: torch.nn.Module) -> tuple[torch.jit.ScriptModule | None, str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            scripted = torch.jit.script(module)
        except Exception as error:
            return None, _first_line(error)
    if not hasattr(scripted, "forward"):
        return None, "its forward is overloaded; put it into a module whose forward calls it"
    return scripted, ""


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return _shortened(lines[0]) if lines else type(error).__name__


def _shortened(text: str, longest: int = 200) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _say(text: str) -> None:
    warnings.warn(text, Notice, stacklevel=5)
