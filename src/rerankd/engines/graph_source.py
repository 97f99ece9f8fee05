"""What a model's graphs are made from, while it is loaded: graphs of the same weights are one.

Two models of one folder may differ in what surrounds the graph, such as chunks and prompts. The
engine that compiles asks here whose graphs it compiles; nothing in between has to hand it down.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Final, TypeAlias

from rerankd.core.graph_cache import GraphCache

# Of each file of weights: device, inode, bytes, time of its last change in ns. A file that is
# replaced or written to has another.
Files: TypeAlias = tuple[tuple[int, int, int, int], ...]

_CACHE: Final[ContextVar[GraphCache | None]] = ContextVar("cache", default=None)
_FILES: Final[ContextVar[Files]] = ContextVar("files", default=())


def files_of(folder: Path) -> Files:
    """The files of weights in a folder and in those of its modules.

    Raises:
        OSError: one cannot be read.
    """
    paths = sorted(each for form in ("*", "*/*") for each in folder.glob(f"{form}.safetensors"))
    stats = [path.stat() for path in paths]
    return tuple((s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns) for s in stats)


@contextmanager
def made_from(files: Files, cache: GraphCache | None = None) -> Generator[None]:
    """Graphs that this thread compiles meanwhile are made from these files, and kept there."""
    before, cache_before = _FILES.set(files), _CACHE.set(cache)
    try:
        yield
    finally:
        _FILES.reset(before)
        _CACHE.reset(cache_before)


def current_files() -> Files:
    """What the graph that is compiled now is made from; () = it is nobody else's."""
    return _FILES.get()


def current_cache() -> GraphCache | None:
    """Where the graph that is compiled now is kept; None = nowhere."""
    return _CACHE.get()
