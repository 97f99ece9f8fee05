"""How much JSON is in a text, before any of it becomes objects: linear, bounded, stops early.

A decoder makes an object of each value, and what a body of a few megabytes holds can cost seconds
and gigabytes. Counted are the marks `,` `:` `[` `{` outside strings: every key and every value
but the first has one of its own.
"""

from __future__ import annotations

from rerankd.core.errors import InvalidRequest

_MARKS = (b",", b":", b"[", b"{")
_BLOCK = 1 << 20  # bytes looked at between two checks


def count_values(raw: bytes, limit: int) -> int:
    """About how many keys and values a JSON text has.

    Args:
        raw: JSON, or anything; what is not JSON is counted up to its first fault at least.
        limit: the most that are allowed.

    Returns:
        The count of marks in the whole text when that is within the limit, strings included, which
        is the cheapest to know; else the count outside strings.

    Raises:
        InvalidRequest: more than `limit`.
    """
    everywhere = _marks(raw)
    if everywhere <= limit:
        return everywhere
    seen, quotes, start, inside = 0, 0, 0, False
    while start < len(raw):
        block = raw[start : start + _BLOCK]
        if (len(block) - len(block.rstrip(b"\\"))) % 2:  # the next byte is escaped: it belongs here
            block = raw[start : start + _BLOCK + 1]
        start += len(block)
        pieces = block.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')
        seen += _marks(b"".join(pieces[1 if inside else 0 :: 2]))
        inside ^= len(pieces) % 2 == 0
        quotes += len(pieces) - 1
        if max(seen, quotes // 2) > limit:
            raise InvalidRequest(
                f"The body's JSON has more than {limit} keys and values (limits.json_values). "
                "Send fewer documents, or leave out the keys of document objects that are not "
                "ranked."
            )
    return seen


def _marks(raw: bytes) -> int:
    return sum(raw.count(mark) for mark in _MARKS)
