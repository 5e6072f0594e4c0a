# SPDX-License-Identifier: Apache-2.0
"""What workers that ask for a token are shown."""

from __future__ import annotations

import os

import splitnet

VARIABLE = "SPLITNET_TOKEN"


def worker_token() -> str:
    """Of the environment; empty: it has none. Raises InvalidArgument: the variable has something else."""
    return splitnet.token_from_environment(VARIABLE) if VARIABLE in os.environ else ""
