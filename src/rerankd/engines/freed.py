"""What the C library keeps of freed memory, given back to the system.

glibc keeps what was freed between two blocks that are still used, and a long row leaves gigabytes
of such gaps: every slice has buffers of another size. Elsewhere nothing is done.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from functools import cache
from typing import Final

_ARENA_MAX: Final = -8  # glibc's M_ARENA_MAX


@cache
def _trim() -> Callable[[int], int] | None:
    """glibc's malloc_trim(3)."""
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):  # TypeError: Windows has no library of all names
        return None


def share_heaps(most: int) -> None:
    """Let all threads of the process share so many heaps: each keeps what was freed in it.

    glibc's own limit is eight for each core. An operator's MALLOC_ARENA_MAX is left as it is.
    """
    if "MALLOC_ARENA_MAX" in os.environ or _trim() is None:
        return
    ctypes.CDLL(None).mallopt(_ARENA_MAX, most)


def give_back() -> None:
    """Blocks for about 0.3 s per GB that there is to give; other threads run meanwhile."""
    trim = _trim()
    if trim is not None:
        trim(0)
