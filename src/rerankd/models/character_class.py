"""A set of characters as a class of a regular expression."""

from __future__ import annotations

from collections.abc import Iterable


def character_class(codes: Iterable[int], *, others: bool = False) -> str:
    """Matches one character: of these code points, or of all others."""
    ranges: list[list[int]] = []
    for code in sorted(set(codes)):
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    spelled = "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in ranges)
    if not spelled:
        return r"[\s\S]" if others else r"[^\s\S]"
    return f"[{'^' if others else ''}{spelled}]"
