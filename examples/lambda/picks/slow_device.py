# SPDX-License-Identifier: Apache-2.0
"""A device that computes slowly."""

from __future__ import annotations

import os
import re
from pathlib import Path

import splitnet
from local_aws.limits import support
from picks.errors import CheckError
from picks.throttling import Quota

_THREADS = Path("/proc/self/task")


class SlowDevice:
    """Gives the thread of this process on which stages with `threads=1` run a quota of processor time, as long as `with` lasts.

    Threads that talk to AWS keep their speed: it is the network's layers that are slow. Raises CheckError where that can't be
    done: it takes version 1 of control groups, which have threads as members.
    """

    def __init__(self, part: splitnet.Partitioner, quota: Quota) -> None:
        found = support()
        if found.cpu is None or found.version != 1:
            raise CheckError(
                f"found control groups of version {found.version} ({found.describe()}), expected version 1 with a cpu "
                "controller that can be written to: one thread gets a quota"
            )
        # limits.support() removes what a killed process has left under such a name.
        self._base, self._group = found.cpu, found.cpu / f"local-aws-{os.getpid()}-device"
        self._quota = quota
        # All such stages share the thread, which lives as long as one of them.
        before = set(os.listdir(_THREADS))
        self._stage = part.make_stage(splitnet.StageKey(), splitnet.StageOptions(threads=1))
        self._stage.run(part.example_inputs)
        new = set(os.listdir(_THREADS)) - before
        if len(new) != 1:
            raise CheckError(
                f"the first pass has started {len(new)} threads, expected one: make this the first session"
            )
        self._thread = new.pop()

    def __enter__(self) -> SlowDevice:
        self._group.mkdir()
        (self._group / "cpu.cfs_period_us").write_text(str(round(self._quota.period_s * 1e6)))
        (self._group / "cpu.cfs_quota_us").write_text(str(round(self._quota.quota_s * 1e6)))
        (self._group / "tasks").write_text(self._thread)
        return self

    def __exit__(self, *_: object) -> None:
        (self._base / "tasks").write_text(self._thread)
        self._group.rmdir()

    def throttled_periods(self) -> int:
        """In how many the quota was used up."""
        found = re.search(r"^nr_throttled (\d+)$", (self._group / "cpu.stat").read_text(), re.MULTILINE)
        return int(found[1]) if found else 0
