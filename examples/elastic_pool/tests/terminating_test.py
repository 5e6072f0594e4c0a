# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from elastic_pool.terminating import TerminateMessages


def test_each_message_ends_one_worker() -> None:
    messages = TerminateMessages(5.0)
    messages.send(2, 10.0)
    assert messages.waiting(11.0) == 2
    assert [messages.take(12.0) for _ in range(3)] == [True, True, False]


def test_a_message_is_valid_for_so_long() -> None:
    messages = TerminateMessages(5.0)
    messages.send(1, 10.0)
    messages.send(1, 12.0)
    assert messages.waiting(14.9) == 2
    assert messages.waiting(15.0) == 1, "the first has expired"
    assert messages.take(16.0)
    assert not messages.take(16.0)
