"""How many cores this process may keep busy."""

from __future__ import annotations

import os
from pathlib import Path

_share: int | None = None  # of a process that is one of several


def use_at_most(cores: int) -> None:
    """This process is one of several, and has so many of the cores that they may use."""
    global _share  # noqa: PLW0603 - of the process, as its affinity is
    _share = cores


def usable_cores(quota: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """Cores that this process may use: its affinity, or the container's CPU quota if smaller."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    if _share is not None:
        cores = min(cores, _share)
    try:
        allowed, period = quota.read_text(encoding="ascii").split()
        return cores if allowed == "max" else max(1, min(cores, int(allowed) // int(period)))
    except (OSError, ValueError):  # not Linux, or no cgroup v2: affinity decides
        return cores
