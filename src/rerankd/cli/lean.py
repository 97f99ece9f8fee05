"""What our own process does to start sooner; never done to a process that only imports rerankd."""

from __future__ import annotations

import gc
import sys
from collections.abc import Generator
from contextlib import contextmanager
from types import ModuleType
from typing import Final

# Objects that a process makes before their garbage is looked for; Python's own 700 have a start
# look through all that it imported, again and again, for 0.05 s: almost nothing of it is garbage.
COLLECTED_AFTER: Final = 20_000


def collect_rarely() -> None:
    """Look for garbage after more objects than Python does by itself."""
    gc.set_threshold(COLLECTED_AFTER, *gc.get_threshold()[1:])


@contextmanager
def hidden(name: str) -> Generator[None]:
    """Keep a library that others use only if it is there out of what is imported meanwhile.

    One that is imported already stays.
    """
    modules: dict[str, ModuleType | None] = sys.modules  # type: ignore[assignment]
    is_new = name not in modules
    if is_new:
        modules[name] = None  # `import` raises ImportError then
    try:
        yield
    finally:
        if is_new:
            del modules[name]
