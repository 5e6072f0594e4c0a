# SPDX-License-Identifier: Apache-2.0
"""Checks of numbers that a person chooses."""

from __future__ import annotations


def expect_more_than_0(options: object) -> None:
    """Of every field. Raises ValueError naming it."""
    for name, value in vars(options).items():
        if not value > 0:
            raise ValueError(f"{name}: found {value}, expected more than 0")
