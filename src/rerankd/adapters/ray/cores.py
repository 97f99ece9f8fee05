"""Which cores a replica keeps busy: Serve counts CPUs, but gives nobody any.

Replicas of one node choose with locks on files of one folder, one file a core; the system releases
the locks of a process that ends, however it ends.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_FOLDER: Final = Path(tempfile.gettempdir()) / f"rerankd-cores-{os.getuid()}"


class OwnCores:
    """Cores that this process holds, as long as it lives or until free()."""

    def __init__(self, folder: Path = _FOLDER) -> None:
        self._folder = folder
        self._files: dict[int, int] = {}  # core -> descriptor of its file

    def hold(self, count: int, among: Iterable[int]) -> set[int] | None:
        """So many cores that no other holds; None, and none is held, when there are too few."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        for core in sorted(among):
            if len(self._files) == count:
                break
            file = os.open(self._folder / str(core), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(file)
            else:
                self._files[core] = file
        if len(self._files) < count:
            self.free()
            return None
        return set(self._files)

    def free(self) -> None:
        """Give all of them back."""
        for file in self._files.values():
            os.close(file)
        self._files.clear()
