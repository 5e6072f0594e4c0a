# SPDX-License-Identifier: Apache-2.0
"""Runs a module as `python -m MODULE` does, but that Ctrl-C ends it without a traceback, from its first import on.

python -m common.program elastic_pool.demo OPTION ...
"""

from __future__ import annotations

import os
import runpy
import signal
import sys

_STATUS = 128 + signal.SIGINT


def _end(number: int, frame: object) -> None:
    """At once: some libraries, numpy for one, lose what is raised while they are imported."""
    os._exit(_STATUS)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, _end)  # Until the program has something to end in order, and takes it over.
    del sys.argv[0]
    try:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    except KeyboardInterrupt:
        sys.exit(_STATUS)
