"""Arrays in pieces of one unnamed file, mapped: the system may take their memory back.

The file is gone with the last of them. It lies in tempfile's folder, which TMPDIR sets.
"""

from __future__ import annotations

import math
import mmap
import os
import tempfile
import weakref
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rerankd.core.errors import StartError

_SMALL_BYTES: Final = 65_536  # plain memory: a mapping costs a page or more


class MappedArrays:
    """Makes them, and lets go of them."""

    def __init__(self) -> None:
        self._file: int | None = None
        self._used_bytes = 0
        self._mapped: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()

    def array(self, shape: tuple[int, ...], dtype: type[np.generic]) -> npt.NDArray[Any]:
        """An empty array; a small one is plain memory.

        Raises:
            StartError: there is no room for it.
        """
        needed = np.dtype(dtype).itemsize * math.prod(shape)
        if needed <= _SMALL_BYTES:
            return np.empty(shape, dtype=dtype)
        start = -(-self._used_bytes // mmap.ALLOCATIONGRANULARITY) * mmap.ALLOCATIONGRANULARITY
        try:
            file = self._opened()
            _reserve(file, start, needed)
            mapped = mmap.mmap(file, needed, offset=start)
        except OSError as error:
            raise StartError(
                f"No room for {(start + needed) >> 20} MB of weights in {tempfile.gettempdir()} "
                f"({error.strerror}): half-precision weights are widened there, and a decoder's "
                "int8 matrices kept. Free some, or set TMPDIR to a folder with room."
            ) from error
        self._used_bytes = start + needed
        self._mapped.add(mapped)
        return np.frombuffer(mapped, dtype=dtype).reshape(shape)

    def let_go(self) -> None:
        """None of them is in the process's memory then; what is read again comes from the file."""
        if hasattr(mmap, "MADV_DONTNEED"):  # not on Windows
            for mapped in self._mapped:
                mapped.madvise(mmap.MADV_DONTNEED)

    def _opened(self) -> int:
        """The file's descriptor, closed when nobody asks for arrays any more."""
        if self._file is None:
            with tempfile.TemporaryFile(prefix="rerankd-") as file:
                self._file = os.dup(file.fileno())
            weakref.finalize(self, os.close, self._file)
        return self._file


def _reserve(file: int, start: int, size: int) -> None:
    """Room in a file, for good: a hole that no disk block is found for later would be SIGBUS."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, start, size)
    else:  # macOS and Windows have no such call
        os.ftruncate(file, start + size)
