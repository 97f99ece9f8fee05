"""A worker: python -m rerankd.workers FD CORES COUNT LOG; a server starts it, nobody else."""

from __future__ import annotations

import os
import sys


def main(words: list[str]) -> None:
    """Pin this process first: libraries count their cores when they are imported.

    Args:
        words: number of its socket; numbers of the cores that it is kept on, or nothing; how many
            cores it may keep busy; form of its log.
    """
    cores = [int(core) for core in words[1].split(",") if core]
    if cores:
        os.sched_setaffinity(0, cores)
    from rerankd.workers.process import run

    run(int(words[0]), int(words[2]), words[3])


main(sys.argv[1:])
