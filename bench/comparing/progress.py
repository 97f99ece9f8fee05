"""What every part says while it runs, and how long an engine rests between turns."""

from __future__ import annotations

import sys
import time
from typing import Any

Figures = dict[str, Any]

REST_S = 0.2  # between turns: the last engine's threads go to sleep
_STARTED = time.perf_counter()


def say(text: str) -> None:
    """Progress, with the minutes since the start."""
    minutes = (time.perf_counter() - _STARTED) / 60
    print(f"{minutes:5.1f} min  {text}", file=sys.stderr, flush=True)
