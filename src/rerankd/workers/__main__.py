"""A worker's process: python -m rerankd.workers FD CORES LOG; a server starts it, nobody else."""

from __future__ import annotations

import os
import sys


def main(words: list[str]) -> None:
    """Pin this process first: libraries count their cores when they are imported."""
    cores = [int(core) for core in words[1].split(",") if core]
    if cores:
        os.sched_setaffinity(0, cores)
    from rerankd.workers.process import run

    run(int(words[0]), words[2])


main(sys.argv[1:])
