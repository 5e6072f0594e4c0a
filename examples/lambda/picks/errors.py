# SPDX-License-Identifier: Apache-2.0
"""What goes wrong in a check."""

from __future__ import annotations


class CheckError(Exception):
    """The check can't be made here, or something did not go as planned; says what."""
