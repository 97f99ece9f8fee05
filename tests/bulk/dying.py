"""A program: runs jobs that die, as by kill -9, at the n-th time that they touch the disk.

    python tests/bulk/dying.py INPUT FOLDER

For n = 0, 1, …: a job that writes to FOLDER/n dies; one that goes on dies a little later. Prints
how many died, and ends when one was done before.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rerankd.bulk import job, output
from tests.bulk.kit import run

_DIED = 9


def die_at(left: int) -> None:
    """End this process at the next touch but `left`."""

    def deadly(function: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any, **named: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                os._exit(_DIED)  # nothing is flushed, nothing is closed
            return function(*arguments, **named)

        return called

    os.fsync = lambda _: None  # takes time, and a process that dies does not tell its absence
    for owner, name in ((os, "fsync"), (Path, "rename"), (Path, "unlink"), (Path, "open")):
        setattr(owner, name, deadly(getattr(owner, name)))
    output.OutputFolder.add = deadly(output.OutputFolder.add)


def forked(path: Path, out: Path, left: int) -> int:
    """The status of a job that dies after so many touches; 0: it was done before."""
    child = os.fork()
    if child == 0:
        die_at(left)
        run(path, out)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main() -> None:
    """Until a job is not killed."""
    path, folder = Path(sys.argv[1]), Path(sys.argv[2])
    job.PART_ROWS = 10
    died = 0
    while (status := forked(path, folder / str(died), died)) == _DIED:
        if forked(path, folder / str(died), died % 7 + 9) not in (0, _DIED):
            sys.exit(f"going on after {died} failed")
        died += 1
    if status != 0:
        sys.exit(f"the job of {died} failed")
    sys.stdout.write(f"{died}\n")


if __name__ == "__main__":
    main()
