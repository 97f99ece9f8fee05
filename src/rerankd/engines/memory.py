"""How much memory this process has, and how much it could still get. Linux; elsewhere unknown."""

from __future__ import annotations

import gc
import os
import re
from pathlib import Path
from typing import Final

from rerankd.core.facts import Memory, MemoryChange
from rerankd.engines.freed import give_back

_PROC: Final = Path("/proc")
_CGROUP: Final = Path("/sys/fs/cgroup")


def memory(proc: Path = _PROC, cgroup: Path = _CGROUP) -> Memory:
    """Now.

    Available is what the system can give without swapping, or what is left of the container's
    limit if that is less; pages of files, which can be dropped, count as free in both.
    """
    return Memory(resident_bytes=_resident(proc), available_bytes=_available(proc, cgroup))


def rounded(found: Memory) -> Memory:
    """To 10 MB of the process and 100 MB of the machine: the same while little changes."""
    resident, available = found.resident_bytes, found.available_bytes
    return Memory(
        resident_bytes=None if resident is None else round(resident, -7),
        available_bytes=None if available is None else round(available, -8),
    )


class MemoryMeter:
    """Resident bytes before a change and after it."""

    def __init__(self) -> None:
        self._before = _resident(_PROC)

    def end(self) -> MemoryChange | None:
        """Give freed memory back, and look again; None = the system does not say.

        Blocks for about 0.3 s per GB that was freed.
        """
        gc.collect()
        give_back()
        after = _resident(_PROC)
        return None if self._before is None or after is None else MemoryChange(self._before, after)


def _resident(proc: Path) -> int | None:
    try:
        pages = int((proc / "self" / "statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def _available(proc: Path, cgroup: Path) -> int | None:
    found = [left for left in (_of_machine(proc), _of_container(cgroup)) if left is not None]
    return min(found, default=None)


def _of_machine(proc: Path) -> int | None:
    try:
        text = (proc / "meminfo").read_text(encoding="ascii")
    except OSError:
        return None
    said = re.search(r"^MemAvailable:\s+(\d+) kB$", text, re.MULTILINE)
    return None if said is None else int(said[1]) * 1024


def _of_container(cgroup: Path) -> int | None:
    """What is left of cgroup v2's limit; None = there is none."""
    try:
        limit = (cgroup / "memory.max").read_text(encoding="ascii").strip()
        used = int((cgroup / "memory.current").read_text(encoding="ascii"))
        stat = (cgroup / "memory.stat").read_text(encoding="ascii")
        most = int(limit)  # "max" is no number
    except (OSError, ValueError):
        return None
    droppable = re.search(r"^inactive_file (\d+)$", stat, re.MULTILINE)
    return max(0, most - used + (0 if droppable is None else int(droppable[1])))
