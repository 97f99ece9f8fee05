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
Counts = npt.NDArray[np.int64]


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


def repeated_units(
    pieces: Sequence[str], sizes: Counts, codes: npt.NDArray[np.uint32]
) -> npt.NDArray[np.int32]:
    """What a piece repeats, as a number, (V + 2,): "!!" and "!!!" have one, and "!"; others -1."""
    units: dict[str, list[int]] = {}
    may_repeat: list[int] = _may_repeat(sizes, codes).tolist()
    for index in may_repeat:
        piece = pieces[index]
        period = (piece + piece).find(piece, 1)
        if period < len(piece):
            units.setdefault(piece[:period], []).append(index)
    found = np.full(len(pieces) + 2, -1, np.int32)
    for number, some in enumerate(units.values()):
        found[some] = number
    numbers = {unit: number for number, unit in enumerate(units)}
    for index in [index for index, piece in enumerate(pieces) if piece in numbers]:
        found[index] = numbers[pieces[index]]
    return found


def _may_repeat(sizes: Counts, codes: npt.NDArray[np.uint32]) -> Counts:
    """Pieces whose ends are as if they were something several times, in order."""
    last = np.cumsum(sizes) - 1
    first = last - sizes + 1
    found = np.zeros(sizes.size, np.bool_)
    for period in range(1, int(sizes.max()) // 2 + 1):
        some = np.flatnonzero((sizes > period) & (sizes % period == 0))
        begins = codes[first[some]] == codes[first[some] + period]
        found[some] |= begins & (codes[last[some]] == codes[last[some] - period])
    return np.flatnonzero(found)


def check_vocabulary(
    pieces: Sequence[str],
    scores: Floats,
    unknown: int,
    sizes: Counts,
    codes: npt.NDArray[np.uint32],
) -> None:
    """Refuse one that cannot be searched here.

    Raises:
        ValueError: saying why.
    """
    if not 0 <= unknown < len(pieces) or len(set(pieces)) != len(pieces):
        raise ValueError("its pieces are not all different, or none is for unknown characters")
    if int(sizes.min()) == 0 or int(sizes.max()) > LONGEST_PIECE:
        raise ValueError(f"a piece is empty, or has more than {LONGEST_PIECE} characters")
    blanks, first = codes == ord(BLANK), np.cumsum(sizes) - sizes
    alone = bool((blanks[first] & (sizes == 1)).any())
    blanks[first] = False
    if blanks.any() or ((codes == ord(" ")) | (codes == 0)).any() or not alone:
        raise ValueError("a piece reaches across a blank, or none stands for a blank alone")
    if not np.isfinite(scores).all() or (scores.astype(np.float32) != scores).any():
        raise ValueError("its scores are no float32 values")


def code_points(pieces: Sequence[str]) -> tuple[Counts, npt.NDArray[np.uint32]]:
    """How many each piece has, (V,), and all of them, one piece's behind the other's, (N,)."""
    codes = np.frombuffer("".join(pieces).encode("utf-32-le"), np.uint32)
    return np.fromiter(map(len, pieces), np.int64, len(pieces)), codes


def unused(codes: npt.NDArray[np.uint32]) -> tuple[str, str]:
    """Two characters that stand in no piece, the first ones: control characters."""
    held = np.append(np.bincount(codes), [0, 0, 0, 0]) > 0
    held[[0, ord(" ")]] = True
    first, second = np.flatnonzero(~held)[:2].tolist()
    return chr(first), chr(second)


def bonuses(
    pieces: Sequence[str],
    scores: Floats,
    codes: npt.NDArray[np.uint32],
    owner: Counts,
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


class JoinedCharacters:
    """Which characters stand side by side in a piece: where none do, no piece reaches across."""

    def __init__(self, codes: npt.NDArray[np.uint32], owner: Counts) -> None:
        """Of all pieces' code points, (N,), and the piece that each is of, (N,)."""
        both = owner[1:] == owner[:-1]
        first, second = codes[:-1][both].astype(np.int64), codes[1:][both].astype(np.int64)
        bits = np.zeros(1 << _SLOT_BITS, np.bool_)
        bits[_pair_slot(first, second)] = True
        self._bits = np.packbits(bits, bitorder="little").tobytes()

    def between(self, codes: npt.NDArray[np.uint32]) -> npt.NDArray[np.bool_]:
        """Of N code points side by side, spans() of each two, (N - 1,)."""
        slots = _pair_slot(codes[:-1], codes[1:])
        bits = np.frombuffer(self._bits, np.uint8)[slots >> 3]
        return (bits >> (slots & 7).astype(np.uint8) & 1).astype(np.bool_)

    def spans(self, before: str, after: str) -> bool:
        """Whether two characters do; true of some others, too: about one in a hundred."""
        slot: int = _pair_slot(ord(before), ord(after))
        return bool(self._bits[slot >> 3] >> (slot & 7) & 1)


def piece_prefixes(sizes: Counts, codes: npt.NDArray[np.uint32]) -> bytes:
    """By slot: PIECE where a piece ends that was read from its beginning, PREFIX where it goes on.

    Slots are shared by some: a piece is looked up, where none begins so the search ends.
    """
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


def _pair_slot(first: Any, second: Any) -> Any:
    """Where two code points' bit is; of integers, or of arrays."""
    return (first * 0x9E37 ^ second * 0x85) & (1 << _SLOT_BITS) - 1
