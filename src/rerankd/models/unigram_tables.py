"""What a Unigram vocabulary is searched with: checks, and tables made once, by numpy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

BLANK: Final = "\u2581"  # as pieces spell it
GRID: Final = 2.0**-17  # of scores
BONUS_STEP: Final = 0.125
LONGEST_PIECE: Final = 64  # code points
PREFIX: Final = 1  # a piece goes on
PIECE: Final = 2  # a piece ends
_SLOT_BITS: Final = 22

Floats = npt.NDArray[np.float64]


@cache
def as_read(score: float) -> float:
    """A score of a tokenizer.json as the library reads it: off by the last bit at times.

    It takes all digits for an integer and divides by a power of ten; both may round. Of ways that
    are equally good, and that hold other pieces or the same ones in another order, this decides.
    """
    whole, point, digits = repr(abs(score)).partition(".")
    if not point or not digits.isdecimal():
        return score
    return math.copysign(float(int(whole + digits)) / 10.0 ** len(digits), score)


def repeated_units(pieces: Sequence[str]) -> npt.NDArray[np.int32]:
    """What a piece repeats, as a number, (V + 1,): "!!" and "!!!" have one, and "!"; others -1."""
    units: dict[str, list[int]] = {}
    for index, piece in enumerate(pieces):
        period = (piece + piece).find(piece, 1)
        if period < len(piece):
            units.setdefault(piece[:period], []).append(index)
    found = np.full(len(pieces) + 1, -1, np.int32)
    for number, some in enumerate(units.values()):
        found[some] = number
    numbers = {unit: number for number, unit in enumerate(units)}
    for index, piece in enumerate(pieces):
        if piece in numbers:
            found[index] = numbers[piece]
    return found


def check_vocabulary(pieces: Sequence[str], scores: Floats, unknown: int) -> None:
    """Refuse one that cannot be searched here.

    Raises:
        ValueError: saying why.
    """
    if not 0 <= unknown < len(pieces) or len(set(pieces)) != len(pieces):
        raise ValueError("its pieces are not all different, or none is for unknown characters")
    if not all(pieces) or max(map(len, pieces)) > LONGEST_PIECE:
        raise ValueError(f"a piece is empty, or has more than {LONGEST_PIECE} characters")
    if (
        any(BLANK in piece[1:] or " " in piece or "\0" in piece for piece in pieces)
        or BLANK not in pieces
    ):
        raise ValueError("a piece reaches across a blank, or none stands for a blank alone")
    if not np.isfinite(scores).all() or (scores.astype(np.float32) != scores).any():
        raise ValueError("its scores are no float32 values")


def code_points(pieces: Sequence[str]) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
    """The code points of all pieces, (N,), and the piece that each is of, (N,)."""
    codes = np.frombuffer("".join(pieces).encode("utf-32-le"), np.uint32)
    sizes = np.fromiter(map(len, pieces), np.int64, len(pieces))
    return codes, np.repeat(np.arange(len(pieces)), sizes)


def bonuses(
    pieces: Sequence[str],
    scores: Floats,
    codes: npt.NDArray[np.uint32],
    owner: npt.NDArray[np.int64],
) -> Floats:
    """What each piece gets for its characters, (V,).

    A character costs what its pieces cost for each of theirs, weighted by how likely they are. One
    that is no piece alone may be unknown, at a price that is the same for all, and gets nothing.
    """
    sizes = np.bincount(owner, minlength=len(pieces))
    likely = np.exp(np.where(scores < 0, scores, -np.inf))
    count = int(codes.max()) + 1
    held = np.bincount(codes, likely[owner], count)
    cost = np.bincount(codes, (likely * -scores / sizes)[owner], count)
    alone = np.zeros(count, np.bool_)
    alone[codes[sizes[owner] == 1]] = True
    bonus = np.where(alone & (held > 0), cost / np.where(held > 0, held, 1.0), 0.0)
    stepped = np.round(bonus / BONUS_STEP) * BONUS_STEP
    return np.bincount(owner, stepped[codes], len(pieces)).astype(np.float64)


def rounded(scores: Floats | float) -> Floats:
    """To multiples of GRID."""
    return np.round(np.asarray(scores) / GRID) * GRID


def pair_bits(codes: npt.NDArray[np.uint32], owner: npt.NDArray[np.int64]) -> bytes:
    """A bit is set for every two characters side by side in a piece, and for some others."""
    both = owner[1:] == owner[:-1]
    first, second = codes[:-1][both].astype(np.int64), codes[1:][both].astype(np.int64)
    bits = np.zeros(1 << _SLOT_BITS, np.bool_)
    bits[pair_slot(first, second)] = True
    return np.packbits(bits, bitorder="little").tobytes()


def piece_prefixes(codes: npt.NDArray[np.uint32], owner: npt.NDArray[np.int64]) -> bytes:
    """By slot: PIECE where a piece ends that was read from its beginning, PREFIX where it goes on.

    Slots are shared by some: a piece is looked up, where none begins so the search ends.
    """
    sizes = np.bincount(owner)
    first = np.cumsum(sizes) - sizes
    slots = np.zeros(sizes.size, np.int64)
    table = np.zeros(1 << _SLOT_BITS, np.uint8)
    for at in range(int(sizes.max())):
        longer = np.flatnonzero(sizes > at)
        slots[longer] = next_slot(slots[longer], codes[first[longer] + at].astype(np.int64))
        table[slots[longer]] |= PREFIX
    table[slots] |= PIECE
    return table.tobytes()


def next_slot(slot: Any, code: Any) -> Any:
    """The slot of what was read, and one code point more; of integers, or of arrays."""
    return (slot * 0x9E3B + code * 0x2F + 1) & (1 << _SLOT_BITS) - 1


def pair_slot(first: Any, second: Any) -> Any:
    """Where two code points' bit is; of integers, or of arrays."""
    return (first * 0x9E37 ^ second * 0x85) & (1 << _SLOT_BITS) - 1
