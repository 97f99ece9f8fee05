"""Freed memory goes back to the system where the C library can do that."""

from __future__ import annotations

import os
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


HEAPS = textwrap.dedent(
    """
    import ctypes, os, tempfile, threading
    from rerankd.engines.freed import share_heaps

    share_heaps(2)
    library, ready = ctypes.CDLL(None), threading.Barrier(8)

    def take():
        ready.wait()
        library.malloc(1000)
        ready.wait()

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    library.fopen.restype = ctypes.c_void_p
    path = tempfile.mktemp().encode()
    file = ctypes.c_void_p(library.fopen(path, b"w"))
    library.malloc_info(0, file)
    library.fclose(file)
    print(open(path).read().count("<heap nr="))
    os.unlink(path)
    """
)


def heaps(**environment: str) -> int:
    others = {name: value for name, value in os.environ.items() if name != "MALLOC_ARENA_MAX"}
    done = subprocess.run(
        [sys.executable, "-c", HEAPS],
        capture_output=True,
        text=True,
        check=True,
        env={**others, **environment},
    )
    return int(done.stdout)


def test_threads_share_two_heaps_unless_the_operator_says_otherwise() -> None:
    if freed._trim() is None:  # pyright: ignore[reportPrivateUsage] - another C library
        freed.share_heaps(2)
        return
    assert heaps() <= 2
    assert heaps(MALLOC_ARENA_MAX="6") > 2


def test_what_lies_between_used_blocks_goes_back() -> None:
    if freed._trim() is None:  # pyright: ignore[reportPrivateUsage] - another C library
        freed.give_back()
        return
    done = subprocess.run(
        [sys.executable, "-c", FREE_IN_BETWEEN], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) > 150
