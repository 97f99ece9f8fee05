"""Compiled graphs as files: each whole or not there, checked before anybody reads it.

A file is MAGIC, the SHA-256 of what follows, then the graph. It is written beside and renamed, so
that two servers may share a folder. A library that reads a damaged graph may crash: it gets none.
"""

from __future__ import annotations

import hashlib
import logging
import os
import stat
import tempfile
from pathlib import Path
from typing import Final

from rerankd.core.graph_cache import GraphCache

MAGIC: Final = b"rerankd graph 1\n"
_HEAD_BYTES: Final = len(MAGIC) + hashlib.sha256().digest_size
_SUFFIX: Final = ".graph"
_log: Final = logging.getLogger(__name__)


def read(cache: GraphCache, key: str) -> bytes | None:
    """The graph of a key; None = it is not there, or cannot be used: then the log says why."""
    path = _path(cache, key)
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except FileNotFoundError:
        return None
    except OSError as error:
        return _refused(path, error.strerror or str(error))
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or not _is_ours(found):
            return _refused(path, "it is not a file of this user alone")
        if not _HEAD_BYTES < found.st_size <= cache.limit_bytes:
            return _refused(path, "its size is not possible")
        data = file.read(found.st_size)
    graph = data[_HEAD_BYTES:]
    if data[:_HEAD_BYTES] != MAGIC + hashlib.sha256(graph).digest():
        return _refused(path, "it is damaged")
    _touch(path)
    return graph


def refuse(cache: GraphCache, key: str, why: str) -> None:
    """Log that a graph that read() gave cannot be used; write() will replace it."""
    _refused(_path(cache, key), why)


def write(cache: GraphCache, key: str, graph: bytes) -> None:
    """Keep a graph, in the place of those that nobody used for longest. A failure is logged."""
    size = _HEAD_BYTES + len(graph)
    if size > cache.limit_bytes:
        return
    path = _path(cache, key)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make_room(cache, size)
        descriptor, beside = tempfile.mkstemp(dir=path.parent, suffix=_SUFFIX)  # 0600
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(MAGIC + hashlib.sha256(graph).digest())
                file.write(graph)
            Path(beside).replace(path)
        except BaseException:
            Path(beside).unlink(missing_ok=True)
            raise
    except OSError as error:
        _log.warning("%s: the compiled graph is not kept: %s.", path, error.strerror or error)


def _path(cache: GraphCache, key: str) -> Path:
    return Path(cache.folder).expanduser() / f"{key}{_SUFFIX}"


def _make_room(cache: GraphCache, size: int) -> None:
    """Remove graphs, those that were not used for longest first, until one more fits."""
    kept: list[tuple[float, int, Path]] = []
    for path in Path(cache.folder).expanduser().glob(f"*{_SUFFIX}"):
        try:
            found = path.lstat()
        except FileNotFoundError:
            continue  # another server removed it
        kept.append((found.st_mtime, found.st_size, path))
    total = sum(each for _, each, _ in kept)
    for _, each, path in sorted(kept):
        if total + size <= cache.limit_bytes:
            return
        path.unlink(missing_ok=True)
        total -= each


def _is_ours(found: os.stat_result) -> bool:
    """Whether this user alone may have written a file."""
    return not hasattr(os, "getuid") or (
        found.st_uid == os.getuid() and not stat.S_IMODE(found.st_mode) & 0o022
    )


def _refused(path: Path, why: str) -> None:
    _log.warning("%s is not used (%s); the graph is compiled anew.", path, why)


def _touch(path: Path) -> None:
    try:
        os.utime(path)
    except OSError:
        _log.debug("%s: when it was used is not noted", path)
