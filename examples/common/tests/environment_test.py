# SPDX-License-Identifier: Apache-2.0
"""The environment comes back."""

from __future__ import annotations

import os

import pytest

from common.environment import in_environment


def test_it_is_as_it_was_also_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMMON_TEST_THERE", "before")
    monkeypatch.delenv("COMMON_TEST_NEW", raising=False)
    before = dict(os.environ)
    with (
        pytest.raises(RuntimeError, match="inside"),
        in_environment({"COMMON_TEST_THERE": "1", "COMMON_TEST_NEW": "2"}),
    ):
        assert (os.environ["COMMON_TEST_THERE"], os.environ["COMMON_TEST_NEW"]) == ("1", "2")
        raise RuntimeError("inside")
    assert dict(os.environ) == before
    with in_environment({"COMMON_TEST_NEW": "2"}):
        del os.environ["COMMON_TEST_NEW"]
    assert dict(os.environ) == before
