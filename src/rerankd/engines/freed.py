"""What the C library keeps of freed memory, given back to the system.

glibc keeps what was freed between two blocks that are still used, and a long row leaves gigabytes
of such gaps: every slice has buffers of another size. Elsewhere nothing is done.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache


@cache
def _trim() -> Callable[[int], int] | None:
    """glibc's malloc_trim(3)."""
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):  # TypeError: Windows has no library of all names
        return None


def give_back() -> None:
    """Blocks for about 0.3 s per GB that there is to give; other threads run meanwhile."""
    trim = _trim()
    if trim is not None:
        trim(0)
