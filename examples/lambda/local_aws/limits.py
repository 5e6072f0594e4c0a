# SPDX-License-Identifier: Apache-2.0
"""Bounds one execution environment in processor time and memory by control groups, where this machine lets us.

Processor time: a CFS quota per 20 ms, 1,769 MB = one processor's worth, as Lambda gives it. It slows this machine's
processors down, it doesn't make them Lambda's: every figure that comes from it is "simulated by CPU quota".
Memory: over the limit the kernel ends the process, as on Lambda.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from dataclasses import dataclass
from pathlib import Path

PERIOD_US = 20_000  #: Of quotas of processor time.
_MIN_QUOTA_US = 1_000
_ROOT = Path("/sys/fs/cgroup")
_serial = itertools.count()


@dataclass(frozen=True)
class Support:
    """What can be bounded here. Empty paths: not that."""

    cpu: Path | None
    memory: Path | None
    version: int

    def describe(self) -> str:
        cpu = "simulated by CPU quota" if self.cpu else "NOT simulated, no cpu cgroup is writable: full speed for all"
        memory = "control group" if self.memory else "watching resident sizes, no memory cgroup is writable"
        return f"speed of memory sizes: {cpu}; memory limit: by {memory}"


class Limits:
    """Control groups of one execution environment, made when it starts and removed by `close`."""

    def __init__(self, support: Support, vcpus: float, memory_megabytes: int) -> None:
        name = f"local-aws-{os.getpid()}-{next(_serial)}"
        self.memory_bytes = memory_megabytes * 2**20
        self._groups = {kind: base / name for kind in ("cpu", "memory") if (base := getattr(support, kind))}
        self._version = support.version
        for group in set(self._groups.values()):
            group.mkdir()
        if "cpu" in self._groups:
            self._bound_cpu(self._groups["cpu"], max(_MIN_QUOTA_US, round(vcpus * PERIOD_US)))
        if "memory" in self._groups:
            self._bound_memory(self._groups["memory"])

    def _bound_cpu(self, group: Path, quota_us: int) -> None:
        if self._version == 2:
            (group / "cpu.max").write_text(f"{quota_us} {PERIOD_US}")
            return
        (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
        (group / "cpu.cfs_quota_us").write_text(str(quota_us))

    def _bound_memory(self, group: Path) -> None:
        """Swap doesn't make it more."""
        bounds = {"memory.limit_in_bytes": self.memory_bytes, "memory.memsw.limit_in_bytes": self.memory_bytes}
        if self._version == 2:
            bounds = {"memory.max": self.memory_bytes, "memory.swap.max": 0}
        for name, limit_bytes in bounds.items():
            if (group / name).exists():  # Without swap in the kernel there is nothing to bound.
                (group / name).write_text(str(limit_bytes))

    @property
    def enforces_memory(self) -> bool:
        return "memory" in self._groups

    def wrap(self, command: list[str]) -> list[str]:
        """The command, which enters the groups before it is anything else. Its process id stays that of the start."""
        if not self._groups:
            return command
        entries = [str(group / "cgroup.procs") for group in sorted(set(self._groups.values()))]
        script = "".join(f"echo $$ > '{entry}' && " for entry in entries) + 'exec "$@"'
        return ["/bin/sh", "-c", script, "sh", *command]

    def pids(self) -> list[int] | None:
        """Processes in the environment; None: not known here."""
        if not self._groups:
            return None
        group = next(iter(self._groups.values()))
        return [int(pid) for pid in (group / "cgroup.procs").read_text().split()]

    def peak_bytes(self) -> int:
        """Of the whole group, its page cache included; 0: not known."""
        group = self._groups.get("memory")
        if group is None:
            return 0
        name = "memory.peak" if self._version == 2 else "memory.max_usage_in_bytes"
        with contextlib.suppress(OSError):
            return int((group / name).read_text())
        return 0

    def close(self) -> bool:
        """Removes the groups. False while a process that ends is still in them."""
        for kind, group in list(self._groups.items()):
            try:
                group.rmdir()
            except FileNotFoundError:
                pass  # Version 2 has one group for both.
            except OSError:
                return False
            del self._groups[kind]
        return True


def support() -> Support:
    """Tries it, by making and removing a group; removes what a killed process has left behind."""
    if (_ROOT / "cgroup.controllers").exists():
        return _support_v2()
    return Support(_writable("cpu", "cpu.cfs_quota_us"), _writable("memory", "memory.limit_in_bytes"), 1)


def _own_group(controller: str) -> str:
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            return path.lstrip("/")
    return ""


def _writable(controller: str, file: str) -> Path | None:
    own = _ROOT / controller / _own_group(controller)
    base = own if own.is_dir() else _ROOT / controller  # In a container the own group's path is the host's.
    return base if _try(base, file) else None


def _support_v2() -> Support:
    base = _ROOT / _own_group("")
    with contextlib.suppress(OSError):
        (base / "cgroup.subtree_control").write_text("+cpu +memory")
    cpu = base if _try(base, "cpu.max") else None
    memory = base if _try(base, "memory.max") else None
    return Support(cpu, memory, 2)


def _try(base: Path, file: str) -> bool:
    for left in base.glob("local-aws-*-*"):
        if not Path(f"/proc/{left.name.split('-')[2]}").exists():
            with contextlib.suppress(OSError):
                left.rmdir()
    group = base / f"local-aws-{os.getpid()}-try"
    try:
        group.mkdir()
    except OSError:
        return False
    try:
        return os.access(group / file, os.W_OK)
    finally:
        group.rmdir()
