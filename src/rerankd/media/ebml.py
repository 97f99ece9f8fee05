"""The elements of a WebM or MKV, walked before FFmpeg reads them.

FFmpeg keeps a record of every element that describes something (tracks, tags, attachments, cues,
what stands beside a block), an empty one too: 60 MiB of them became 4 GiB. So all that is no
picture or sound has a limit, wherever it stands. FFmpeg gets the bytes without a way to seek, so
what it reads is what is walked here: in order, and no SeekHead leads into the middle of a block.

Sources: RFC 8794 (EBML), RFC 9559 (Matroska); FFmpeg, libavformat/matroskadec.c.
"""

from __future__ import annotations

from dataclasses import dataclass

from rerankd.media.boxes import damaged
from rerankd.media.refused import Refused

_HEADER, _SEGMENT, _CLUSTER = 0x1A45DFA3, 0x18538067, 0x1F43B675
_VOID = 0xEC
_GROUPS = {0xA0, 0x75A1, 0xA6}  # BlockGroup, BlockAdditions, BlockMore: hold blocks and more
_DEPTH = len(_GROUPS)
_PAYLOADS = {0xA3, 0xA1, 0xA5, _VOID}  # SimpleBlock, Block, BlockAdditional: pictures and sound
_OUTER = {  # what stands in a segment, and so ends a cluster that does not say how long it is
    _CLUSTER,
    0x114D9B74,  # SeekHead
    0x1549A966,  # Info
    0x1654AE6B,  # Tracks
    0x1C53BB6B,  # Cues
    0x1941A469,  # Attachments
    0x1043A770,  # Chapters
    0x1254C367,  # Tags
}
_EBML_BYTES = 4096
_DESCRIBING_BYTES = 2 << 20  # ids and sizes of blocks too: 20,000 frames have a fifth of it
_ELEMENTS = 262_144  # as samples of an MP4


def check(data: bytes) -> None:
    """The elements fill the file exactly, and few of them are anything but pictures and sound.

    Raises:
        Refused: it is not so.
        IndexError: an element is cut off.
    """
    header = _read(data, 0, len(data))
    if header.name != _HEADER or header.end is None or header.end > _EBML_BYTES:
        raise damaged()
    segment = _read(data, header.end, len(data))
    if segment.name != _SEGMENT or segment.end not in (None, len(data)):
        raise damaged()
    _Walk(data).inside_segment(segment.start)


@dataclass(frozen=True, slots=True)
class _Element:
    name: int  # its id, marker bits included, as the standards write it
    start: int  # of what it holds
    end: int | None  # None = it does not say


class _Walk:
    """Counts what a file holds beside pictures and sound."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._elements = 0
        self._describing = 0

    def inside_segment(self, at: int) -> None:
        """All of a segment, which ends where the file does."""
        size = len(self._data)
        while at < size:
            found = self._next(at, size)
            if found.name == _CLUSTER:
                at = self._inside(found.start, found.end or size, ends=found.end is None)
            else:
                at = self._passed(at, found)

    def _inside(self, at: int, end: int, *, ends: bool = False, depth: int = 0) -> int:
        """What a cluster or a group holds; where it ends, before an outer element if it may."""
        if depth > _DEPTH:
            raise damaged()
        while at < end:
            found = self._next(at, end)
            if ends and found.name in _OUTER:
                return at
            if found.name in _GROUPS and found.end is not None:
                at = self._inside(found.start, found.end, depth=depth + 1)
            else:
                at = self._passed(at, found)
        return end

    def _next(self, at: int, end: int) -> _Element:
        self._elements += 1
        if self._elements > _ELEMENTS:
            raise Refused(f"it has more than {_ELEMENTS} blocks; send a shorter one")
        return _read(self._data, at, end)

    def _passed(self, at: int, found: _Element) -> int:
        """Where an element ends, whose bytes count unless they are picture or sound."""
        if found.end is None:
            raise damaged()
        self._describing += (found.start if found.name in _PAYLOADS else found.end) - at
        if self._describing > _DESCRIBING_BYTES:
            raise Refused(_TOO_MUCH)
        return found.end


_TOO_MUCH = (
    f"it has more than {_DESCRIBING_BYTES} bytes beside pictures and sound; send it without "
    "attachments and tags"
)


def _read(data: bytes, at: int, limit: int) -> _Element:
    """The element at `at`, which ends at `limit` at the latest. Raises Refused, IndexError."""
    width = 9 - data[at].bit_length()
    if width > 4:
        raise damaged()
    name = int.from_bytes(data[at : at + width], "big")
    at += width
    width = 9 - data[at].bit_length()
    if width > 8:
        raise damaged()
    size = int.from_bytes(data[at : at + width], "big") & (1 << 7 * width) - 1
    start = at + width
    if start > limit:
        raise damaged()
    if size == (1 << 7 * width) - 1:
        return _Element(name, start, None)
    if start + size > limit:
        raise damaged()
    return _Element(name, start, start + size)
