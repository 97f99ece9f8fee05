"""The best way through a text by a Unigram vocabulary: SentencePiece's search, made exact.

SentencePiece adds scores up in float32, the library `tokenizers` in float64, where sums of such
scores are exact. Two ways through "xxiii" are equally good; of those the first that is met is
taken, unless a rounded sum says otherwise, and sums over a long text are rounded the most. So:

- A text is given in groups of about GROUP characters, cut where no piece of the vocabulary reaches
  across: before a blank, or between two characters that stand side by side in no piece.
- Every character has a bonus, about what it costs on average, which is added to the scores of the
  pieces that hold it. All ways through a text hold the same characters, so that the best way stays
  the best; but sums stay near 0.
- Scores are multiples of GRID, so that sums under EXACT are exact in float32. Whether they were is
  looked at; a group of which they were not is searched again in float64, slowly.

What is left: two ways that differ by less than about GRID, and not by exactly 0.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from itertools import chain
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rerankd.models.character_class import character_class
from rerankd.models.sentencepiece_file import sentencepiece_file

BLANK: Final = "\u2581"  # as pieces spell it
GROUP: Final = 96  # characters; half as many where there is no blank
FINE_GROUP: Final = 32
GRID: Final = 2.0**-17
EXACT: Final = 96.0  # under 2^24 GRID = 128: ways that are not the best may be farther from 0
MOST_UNKNOWN: Final = 1  # characters of a group, each of about -30
BONUS_STEP: Final = 0.125
LONGEST_PIECE: Final = 64  # code points
UNKNOWN_PENALTY: Final = 10.0  # below the worst piece, in both libraries
REMEMBERED: Final = 4_096  # words that were searched in float64
MOST_REMEMBERED: Final = 64  # characters of one
LONGEST_TIED: Final = 1_024  # characters of a word that is searched whole for how a tie goes
STARTS: Final = ("", " ", BLANK)  # of a text, or of a word
_WORD: Final = re.compile(" ?[^ ]*")
_PAIR_BITS: Final = 22
_NEVER: Final = "\uffff\ufffe"  # no text is made of it: it only carries the worst score

Ids = npt.NDArray[np.int32]
Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Span = tuple[int, int]  # id, code points


class UnigramModel:
    """Pieces with scores. Thread-safe."""

    def __init__(self, pieces: Sequence[str], scores: Floats, unknown: int) -> None:
        """Build SentencePiece's model, in memory.

        Args:
            pieces: V different ones, by id; U+2581 stands for a blank, at their beginning only.
            scores: (V,), each a float32's value.
            unknown: id of the piece that stands for characters that are in no other.

        Raises:
            ValueError: it is not such a vocabulary, or SentencePiece cannot read it.
        """
        from sentencepiece import SentencePieceProcessor  # here: only such models need it

        _check(pieces, scores, unknown)
        self._scores, self.unknown = scores, unknown
        self._unknown_piece = pieces[unknown]
        self._worst = float(scores.min())
        self._longest = max(map(len, pieces))
        codes, owner = _codes(pieces)
        adjusted = _rounded(scores + _bonuses(pieces, scores, codes, owner))
        self._adjusted = np.append(adjusted, _rounded(self._worst))
        self._pairs = _pair_bits(codes, owner)
        file = sentencepiece_file([*pieces, _NEVER], self._adjusted, unknown)
        # The library's own types are partly unknown.
        self._library: Any = SentencePieceProcessor(model_proto=file)
        self._adjusted[unknown] = 0.0
        self._units = _units(pieces)
        self._remembered = lru_cache(REMEMBERED)(self._word)
        self._sizes = np.fromiter(map(len, [*pieces, ""]), np.uint8, len(pieces) + 1)
        self._sizes[unknown] = 0
        known = (*np.flatnonzero(np.bincount(codes)).tolist(), ord(" "))
        self._strange = re.compile(f"({character_class(known, others=True)}+)")

    @property
    def size(self) -> int:
        """Pieces."""
        return self._scores.size

    def pieces(self) -> tuple[str, ...]:
        """All, by id."""
        return tuple(self._library.id_to_piece(list(range(self.size))))

    def piece(self, at: int) -> str:
        """Of an id."""
        return str(self._library.id_to_piece(at))

    def id(self, piece: str) -> int | None:
        """Of a piece."""
        found = int(self._library.piece_to_id(piece))
        is_piece = found != self.unknown or piece == self._unknown_piece
        return found if is_piece and found != self.size else None

    def ids(self, texts: Sequence[str]) -> tuple[Ids, Counts]:
        """All texts' ids one behind the other, (L,), and how many each has, (T,).

        Unknown characters side by side may be several tokens. What was searched as one word may be
        counted as one text's.

        Args:
            texts: T of them, as groups() makes them of some texts, in order.
        """
        found, again = self._found(texts)
        for index, spans in again.items():
            found[index] = [id_ for id_, _ in spans]
        return _flat(found)

    def spans(self, texts: Sequence[str]) -> list[Span]:
        """The same ids, and how many characters each stands for."""
        found, again = self._found(texts)
        return [
            span
            for index, (text, ids) in enumerate(zip(texts, found, strict=True))
            for span in (again[index] if index in again else self._spans(text, ids))
        ]

    def _found(self, texts: Sequence[str]) -> tuple[list[list[int]], dict[int, list[Span]]]:
        """SentencePiece's ids, and what stands for those of some texts."""
        found = self._plain(texts)
        flat, sizes = _flat(found)
        suspect, tied = self._inexact(texts, flat, sizes), self._tied(flat, sizes)
        again: dict[int, list[Span]] = {index: [] for index in suspect}
        parts = [(index, part) for index in suspect for part in self._fine(texts[index])]
        some = [part for _, part in parts]
        finer = self._plain(some)
        flat, sizes = _flat(finer)
        inexact = set(self._inexact(some, flat, sizes))
        tied |= {parts[at][0] for at in self._tied(flat, sizes)}
        for at, ((index, part), ids) in enumerate(zip(parts, finer, strict=True)):
            if self._strange.fullmatch(part) is not None:
                again[index].append((self.unknown, len(part)))
            else:
                again[index] += self.searched(part) if at in inexact else self._spans(part, ids)
        for start, end in _whole_words(texts, tied):
            again |= {index: [] for index in range(start, end)}
            again[start] = self.searched("".join(texts[start:end]))
        return found, again

    def _plain(self, texts: Sequence[str]) -> list[list[int]]:
        encode = self._library.encode  # one by one: for a list it starts a thread each time
        return [encode(text) for text in texts]

    def _spans(self, text: str, ids: Sequence[int]) -> list[Span]:
        if self.unknown not in ids:
            return [(id_, int(self._sizes[id_])) for id_ in ids]
        mapped = self._library.encode(text, return_type="offset_mapping")
        places = zip(mapped["ids"], mapped["offsets"], strict=True)
        return [(id_, end - start) for id_, (start, end) in places]

    def _fine(self, text: str) -> Iterator[str]:
        """The text in smaller groups, if there is any place to cut."""
        if self._unknown_piece in text:
            yield text
            return
        for run in self._strange.split(text):
            yield from self.groups(run, FINE_GROUP)

    def groups(self, text: str, size: int = GROUP) -> Iterator[str]:
        """A text, cut where no piece reaches across, into groups of `size` characters or less.

        More, if there is nowhere to cut.
        """
        at = 0
        while len(text) - at > size:
            cut = text.rfind(" ", at + 1, at + size + 1)
            if cut < 0:
                cut = self._inside(text, at + size // 2, at + size // 4)
            yield text[at:cut]
            at = cut
        if at < len(text):
            yield text[at:]

    def _inside(self, text: str, middle: int, first: int) -> int:
        """Where a word without a blank may be cut: between `first` and `middle`, or behind it."""
        for at in chain(range(middle, first, -1), range(middle + 1, len(text))):
            pair = _pair(ord(text[at - 1]), ord(text[at]))
            if text[at] == " " or not self._pairs[pair >> 3] >> (pair & 7) & 1:
                return at
        return len(text)

    def _inexact(self, texts: Sequence[str], flat: Ids, sizes: Counts) -> list[int]:
        """Which results are not known to be the best way, and the first of the best."""
        suspect = {i for i, text in enumerate(texts) if self._unknown_piece in text}
        if flat.size:
            sums = np.cumsum(self._adjusted[flat])
            first = np.cumsum(sizes) - sizes
            far = np.abs(sums - np.repeat(np.append(0.0, sums)[first], sizes)) >= EXACT
            unknown = flat == self.unknown
            if unknown.any():
                far |= unknown & self._is_strange(texts, flat, sizes)
            far |= flat == self.size
            if far.any():
                suspect.update(np.repeat(np.arange(sizes.size), sizes)[far].tolist())
        return sorted(suspect)

    def _tied(self, flat: Ids, sizes: Counts) -> set[int]:
        """Which results have two pieces side by side that may change places: "!!" and "!!!"."""
        units = self._units[flat]
        turns = (units[1:] == units[:-1]) & (units[1:] >= 0) & (flat[1:] != flat[:-1])
        if not turns.any():
            return set()
        return set(np.repeat(np.arange(sizes.size), sizes)[1:][turns].tolist())

    def _is_strange(self, texts: Sequence[str], flat: Ids, sizes: Counts) -> npt.NDArray[np.bool_]:
        """Of each token, whether its text has so many unknown characters that sums are inexact."""
        owner = np.repeat(np.arange(sizes.size), sizes)
        known = np.bincount(owner, self._sizes[flat], sizes.size)
        characters = np.fromiter(map(len, texts), np.int64, sizes.size)
        return (characters - known > MOST_UNKNOWN)[owner]

    def searched(self, text: str) -> list[Span]:
        """The best way in float64, word by word, as the library `tokenizers` goes."""
        spans: list[Span] = []
        for word in _WORD.findall(text):
            spans += self._remembered(word) if len(word) <= MOST_REMEMBERED else self._word(word)
        return spans

    def _word(self, word: str) -> tuple[Span, ...]:
        word = word.replace(" ", BLANK)
        best: list[tuple[float, int, int] | None] = [None] * (len(word) + 1)
        best[0] = (0.0, 0, 0)  # score, start, id
        for start in range(len(word)):
            here = best[start]
            assert here is not None  # noqa: S101 - every character leads to the next
            is_alone = False
            for end in range(start + 1, min(len(word), start + self._longest) + 1):
                id_ = self.id(word[start:end])
                if id_ is None:
                    continue
                score = here[0] + as_read(float(self._scores[id_]))
                there = best[end]
                if there is None or score > there[0]:
                    best[end] = (score, start, id_)
                is_alone |= end == start + 1
            score, there = here[0] + (as_read(self._worst) - UNKNOWN_PENALTY), best[start + 1]
            if not is_alone and (there is None or score > there[0]):
                best[start + 1] = (score, start, self.unknown)
        spans: list[Span] = []
        end = len(word)
        while end > 0:
            _, start, id_ = best[end] or (0.0, 0, 0)
            spans.append((id_, end - start))
            end = start
        return tuple(spans[::-1])


def _flat(found: Sequence[Sequence[int]]) -> tuple[Ids, Counts]:
    sizes = np.fromiter(map(len, found), np.int64, len(found))
    return np.fromiter(chain.from_iterable(found), np.int32, int(sizes.sum())), sizes


def _whole_words(texts: Sequence[str], some: set[int]) -> Iterator[tuple[int, int]]:
    """Ranges of texts that hold the words of some whole: a word begins with a blank."""
    done = 0
    for index in sorted(some):
        if index < done:
            continue
        start, end = index, index + 1
        while start > done and texts[start][:1] not in STARTS:
            start -= 1
        while end < len(texts) and texts[end][:1] not in STARTS:
            end += 1
        if sum(map(len, texts[start:end])) > LONGEST_TIED:
            start, end = index, index + 1
        yield start, end
        done = end


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


def _units(pieces: Sequence[str]) -> npt.NDArray[np.int32]:
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


def _check(pieces: Sequence[str], scores: Floats, unknown: int) -> None:
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


def _codes(pieces: Sequence[str]) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
    """The code points of all pieces, (N,), and the piece that each is of, (N,)."""
    codes = np.frombuffer("".join(pieces).encode("utf-32-le"), np.uint32)
    sizes = np.fromiter(map(len, pieces), np.int64, len(pieces))
    return codes, np.repeat(np.arange(len(pieces)), sizes)


def _bonuses(
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


def _rounded(scores: Floats | float) -> Floats:
    """To multiples of GRID."""
    return np.round(np.asarray(scores) / GRID) * GRID


def _pair_bits(codes: npt.NDArray[np.uint32], owner: npt.NDArray[np.int64]) -> bytes:
    """A bit is set for every two characters side by side in a piece, and for some others."""
    both = owner[1:] == owner[:-1]
    first, second = codes[:-1][both].astype(np.int64), codes[1:][both].astype(np.int64)
    bits = np.zeros(1 << _PAIR_BITS, np.bool_)
    bits[_pair(first, second)] = True
    return np.packbits(bits, bitorder="little").tobytes()


def _pair(first: Any, second: Any) -> Any:
    """Where two code points' bit is; of integers, or of arrays."""
    return (first * 0x9E37 ^ second * 0x85) & (1 << _PAIR_BITS) - 1
