# SPDX-License-Identifier: Apache-2.0
"""How a process that only computes stages keeps its memory."""

from __future__ import annotations

import contextlib
import ctypes
import os

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # Of <malloc.h>.


def keep_memory_of_passes() -> None:
    """As splitnet-worker does: each pass takes the same memory and frees it; by its defaults glibc gives it back to the
    kernel and fetches it again page by page, which was half of a head of MobileNetV2 in an actor (10.8 ms instead of
    5.2). Who has told glibc otherwise is not overruled; other allocators stay as they are.
    """
    tunables = os.environ.get("GLIBC_TUNABLES", "")
    if {"MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"} & os.environ.keys() or "glibc.malloc." in tunables:
        return
    with contextlib.suppress(AttributeError):  # No glibc.
        set_option = ctypes.CDLL(None).mallopt
        set_option(_M_MMAP_THRESHOLD, 32 << 20)
        set_option(_M_TRIM_THRESHOLD, 1 << 30)
