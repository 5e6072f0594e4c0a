# SPDX-License-Identifier: Apache-2.0
"""Reads JSON that may be wrong: every error names the field, what was found and what was expected."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn


class Fields:
    """A JSON object and where in the document it stands."""

    def __init__(self, value: Any, where: str) -> None:
        """Raises ValueError: `value` is no object."""
        if not isinstance(value, Mapping):
            raise ValueError(f"{where} is {_kind(value)}, expected an object")  # noqa: TRY004 (a bad document, not a bug)
        self._value = value
        self.where = where

    def has(self, key: str) -> bool:
        """Whether it is there and not null."""
        return self._value.get(key) is not None

    def text(self, key: str) -> str:
        value = self._get(key, "a string")
        return value if isinstance(value, str) else self._refuse(key, value, "a string")

    def texts(self) -> dict[str, str]:
        """All of the object's fields, each a string."""
        return {str(key): self.text(key) for key in self._value}

    def boolean(self, key: str) -> bool:
        value = self._get(key, "true or false")
        return value if isinstance(value, bool) else self._refuse(key, value, "true or false")

    def integer(self, key: str) -> int:
        value = self._get(key, "an integer")
        if isinstance(value, bool) or not isinstance(value, int):
            self._refuse(key, value, "an integer")
        return int(value)

    def number(self, key: str) -> float:
        return self._finite(self._get(key, "a number"), key)

    def number_or(self, key: str, default: float) -> float:
        return self.number(key) if self.has(key) else default

    def positive(self, key: str) -> float:
        value = self.number(key)
        if value <= 0:
            raise ValueError(f"{self.where}.{key} is {value:g}, expected a number above 0")
        return value

    def numbers(self, key: str) -> list[float]:
        return [self._finite(value, f"{key}[{index}]") for index, value in enumerate(self._list(key))]

    def fields(self, key: str) -> Fields:
        return Fields(self._get(key, "an object"), f"{self.where}.{key}")

    def items(self, key: str) -> list[Fields]:
        """A list of objects."""
        return [Fields(value, f"{self.where}.{key}[{index}]") for index, value in enumerate(self._list(key))]

    def _list(self, key: str) -> Sequence[Any]:
        value = self._get(key, "a list")
        return value if isinstance(value, list | tuple) else self._refuse(key, value, "a list")

    def _finite(self, value: Any, key: str) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            self._refuse(key, value, "a finite number")
        return float(value)

    def _get(self, key: str, expected: str) -> Any:
        if key not in self._value:
            raise ValueError(f"{self.where}.{key} is missing, expected {expected}")
        return self._value[key]

    def _refuse(self, key: str, value: Any, expected: str) -> NoReturn:
        raise ValueError(f"{self.where}.{key} is {_kind(value)}, expected {expected}")


def _kind(value: Any) -> str:
    """In JSON's words."""
    if value is None:
        return "null"
    if isinstance(value, bool | int | float):
        return str(value)
    if isinstance(value, str):
        return f"the string {value[:40]!r}"
    return "a list" if isinstance(value, list | tuple) else "an object" if isinstance(value, Mapping) else "no JSON"
