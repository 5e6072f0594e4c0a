# SPDX-License-Identifier: Apache-2.0
"""Runs one neural network in several places.

    import splitnet

    part = splitnet.Partitioner("classifier.pt", example_inputs=[x])
    plan = splitnet.plan(part, worker="tcp://127.0.0.1:7070")
    print(plan.explain())
    with splitnet.Session(part, plan) as session:
        y = session(x)

Attributes of options and results are read-only, and their lists are copies: ``options.replace(threads=2)`` makes a
changed value. Times are seconds, sizes bytes, rates bytes per second; names end in the unit.
"""

from splitnet import _build_info

__version__ = _build_info.VERSION


def __getattr__(name: str) -> object:
    """Imports torch and the library when a name of theirs is first asked for: `splitnet --help` needs neither."""
    import importlib

    if name.startswith("_") and name != "_core":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from splitnet import _torch_version

    _torch_version.check()
    if name == "_core":
        return importlib.import_module("splitnet._core")
    api = importlib.import_module("splitnet._api")
    try:
        value: object = getattr(api, name)
    except AttributeError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    import importlib

    return sorted({*globals(), *vars(importlib.import_module("splitnet._api"))})
