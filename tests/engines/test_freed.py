"""Freed memory goes back to the system where the C library can do that."""

from __future__ import annotations

import subprocess
import sys
import textwrap

from rerankd.engines import freed

FREE_IN_BETWEEN = textwrap.dedent(
    """
    from pathlib import Path
    from rerankd.engines.freed import give_back

    def resident_mb():
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))

    blocks = [bytearray(b"x" * 100_000) for _ in range(2000)]
    last = blocks[-1]  # what is freed before it cannot shrink the heap
    blocks.clear()
    before = resident_mb()
    give_back()
    print(before - resident_mb())
    """
)


def test_what_lies_between_used_blocks_goes_back() -> None:
    if freed._trim() is None:  # pyright: ignore[reportPrivateUsage] - another C library
        freed.give_back()
        return
    done = subprocess.run(
        [sys.executable, "-c", FREE_IN_BETWEEN], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) > 150
