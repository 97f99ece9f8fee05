"""The boxes of an MP4 or MOV, read before FFmpeg reads them.

FFmpeg makes an entry of 24 bytes for every sample, piece of a chunk or edited sample that a table
speaks of, in one call that nothing can stop, and a table of 20 bytes may speak of billions. It
reads a table wherever it stands. So tables are looked for by name, in all but `mdat`.

Sources: ISO 14496-12; FFmpeg, libavformat/mov.c (mov_build_index, mov_read_trun, mov_fix_index).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rerankd.media.refused import Refused

_BOXES = 65_536  # of one list
_SAMPLES = 262_144  # of all tracks: 10 minutes of video and sound have a fifth of it
_PIECES = 1_048_576  # of chunks: uncompressed sound has an entry for each
_PIECE = 512  # samples; FFmpeg cuts at 1024, or somewhat below
_TABLES = 64  # of sizes, and of chunks; a track has one of each
_EDITS = 16  # each may repeat all samples; files of cameras and editors have one or two
_TO_REFERENCES = (b"trak", b"mdia", b"minf", b"dinf", b"dref")
_TABLE = re.compile(rb"stsz|stz2|trun|elst|stco|co64|stsc|cmov")
_OTHER_THAN_SOUND = re.compile(rb"vide|subp|clcp|trak")


def check(data: bytes) -> None:
    """The boxes fill the file exactly, no track lies in another file, no table is absurd.

    Raises:
        Refused: it is not so.
        struct.error, IndexError: a box is cut off.
    """
    told = _Told()
    for name, start, end in _inside(data, 0, len(data)):
        if name == b"moov":
            _own_tracks(data, start, end, _TO_REFERENCES)
        if name != b"mdat":
            _count(data, start, end, told)
    if told.samples > _SAMPLES or told.chunks * (1 + told.largest // _PIECE) > _PIECES:
        raise _too_many()
    if told.edits > _EDITS:
        raise Refused(f"it has more than {_EDITS} edits; send it without an edit list")


@dataclass(slots=True)
class _Told:
    """What the tables of a file say, all together."""

    samples: int = 0
    chunks: int = 0
    largest: int = 0  # samples of a chunk
    edits: int = 0
    tables: int = 0  # that are looked into
    runs: int = 0  # of chunks alike


def _count(data: bytes, start: int, end: int, told: _Told) -> None:
    """Add what the tables of an outermost box say. Raises Refused."""
    for found in _TABLE.finditer(data, start, end):
        name, at = found[0], found.end() + 4  # behind version and flags
        if name == b"cmov":
            raise Refused("its header is compressed; send it without")
        told.tables += name in (b"stsz", b"stz2", b"stsc")
        if told.tables > _TABLES:
            raise damaged()
        if name in (b"stsz", b"stz2"):
            told.samples += 0 if _is_pcm(data, start, end, at) else _number(data, at + 4)
        elif name == b"trun":
            told.samples += _number(data, at)
        elif name == b"elst":
            told.edits += _number(data, at)
        elif name == b"stsc":
            runs = _number(data, at)
            told.runs += runs
            if told.runs > _SAMPLES:
                raise _too_many()
            each = (_number(data, at + 8 + 12 * i) for i in range(runs))
            told.largest = max(told.largest, max(each, default=0))
        else:
            told.chunks += _number(data, at)


def _is_pcm(data: bytes, start: int, end: int, sizes: int) -> bool:
    """Whether the sizes at `sizes` are of uncompressed sound, which has no entry per sample."""
    for name, at, stop in _inside(data, start, end):
        if name != b"trak" or not at <= sizes < stop:
            continue
        media = _child(data, (at, stop), b"mdia")
        handler, _ = _child(data, media, b"hdlr")
        tables = _child(data, _child(data, media, b"minf"), b"stbl")
        times, _ = _child(data, tables, b"stts")
        return (
            data[handler + 8 : handler + 12] == b"soun"
            and _number(data, times + 4) == 1  # all samples last
            and _number(data, times + 12) == 1  # one tick
            and data.count(b"stts", at, stop) == data.count(b"stsz", at, stop) == 1
            and _OTHER_THAN_SOUND.search(data, at, stop) is None
        )
    return False


def _child(data: bytes, around: tuple[int, int], wanted: bytes) -> tuple[int, int]:
    """Start and end of what is in the first box of this name. Raises Refused."""
    for name, start, end in _inside(data, *around):
        if name == wanted:
            return start, end
    raise damaged()


def _number(data: bytes, at: int) -> int:
    (found,) = struct.unpack_from(">I", data, at)
    return found


def _own_tracks(data: bytes, start: int, end: int, path: Sequence[bytes]) -> None:
    """No track lies in another file. FFmpeg would not open it; it is refused all the same."""
    for name, inner, inner_end in _inside(data, start, end):
        if name != path[0]:
            continue
        if len(path) > 1:
            _own_tracks(data, inner, inner_end, path[1:])
            continue
        for _, entry, _ in _inside(data, inner + 8, inner_end):
            if not data[entry + 3] & 1:  # self-contained
                raise Refused("a track of the video lies in another file")


def _inside(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """The boxes between two places: name, start and end of what is in each.

    ISO 14496-12: 32-bit size, name; size 1: a 64-bit size follows; size 0: to the end.
    """
    for _ in range(_BOXES):
        if at == end or (end - at == 4 and data[at:end] == b"\0\0\0\0"):  # QuickTime ends lists so
            return
        size, name = struct.unpack_from(">I4s", data, at)
        head = 16 if size == 1 else 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, at + 8)
        size = size or end - at
        if size < head or at + size > end:
            raise damaged()
        yield name, at + head, at + size
        at += size
    raise damaged()


def _too_many() -> Refused:
    return Refused(f"it has more than {_SAMPLES} frames and pieces of sound; send a part of it")


def damaged() -> Refused:
    """What is said of any damage to a video."""
    return Refused("the video is damaged or cut off")
