# SPDX-License-Identifier: Apache-2.0
"""Keyword arguments that may be left out."""

from __future__ import annotations

from typing import Any


def given(**keywords: Any) -> dict[str, Any]:
    """Those that are not None."""
    return {name: value for name, value in keywords.items() if value is not None}
