# SPDX-License-Identifier: Apache-2.0
"""The program `splitnet`: one module for each command, and what they share.

Nothing here imports torch or the compiled library before a command needs it, so that `--help` answers at once.
"""

from splitnet.cli.app import app as app, main as main

__all__ = ["app", "main"]
