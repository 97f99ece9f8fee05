"""The best way through a text by a Unigram vocabulary: SentencePiece's search, made exact.

SentencePiece adds scores up in float32, the library `tokenizers` in float64, where sums of such
scores are exact. Two ways through "xxiii" are equally good; of those the first that is met is
taken, unless a rounded sum says otherwise, and sums over a long text are rounded the most. So:

- A text is cut where no piece of the vocabulary reaches across: before a blank, or between two
  characters that stand side by side in no piece. Segments that were not met before are searched in
  groups, with a piece between them that stands in no text.
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
from functools import lru_cache
from itertools import chain, pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rerankd.models.character_class import character_class
from rerankd.models.sentencepiece_file import sentencepiece_file
from rerankd.models.unigram_fine import (
    ID_BYTES,
    LONGEST_TIED,
    TIED,
    FineIds,
    Span,
    packed,
)
from rerankd.models.unigram_segments import Marks, SegmentCuts, Short, has_short_segments
from rerankd.models.unigram_tables import (
    BLANK,
    PREFIX,
    Counts,
    Floats,
    JoinedCharacters,
    as_read,
    bonuses,
    check_vocabulary,
    code_points,
    next_slot,
    piece_prefixes,
    repeated_units,
    rounded,
    unused,
)

GROUP: Final = 96  # characters; half as many where there is no blank
FINE_GROUP: Final = 32
WORTH_CUTTING: Final = 4_096  # characters; under it arrays take more time than they save
EXACT: Final = 96.0  # under 2^24 GRID = 128: ways that are not the best may be farther from 0
MOST_UNKNOWN: Final = 1  # characters of a group, each of about -30
UNKNOWN_PENALTY: Final = 10.0  # below the worst piece, in both libraries
REMEMBERED: Final = 4_096  # words that were searched in float64
MOST_REMEMBERED: Final = 64  # characters of one
STARTS: Final = ("", " ", BLANK)  # of a text, or of a word
_WORD: Final = re.compile(" ?[^ ]*")
_NEVER: Final = "\uffff\ufffe"  # no text is made of it: it only carries the worst score

Ids = npt.NDArray[np.int32]


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

        sizes, codes = code_points(pieces)
        check_vocabulary(pieces, scores, unknown, sizes, codes)
        self._scores, self.unknown = scores, unknown
        self._unknown_piece = pieces[unknown]
        self._worst = float(scores.min())
        self._longest = int(sizes.max())
        owner = np.repeat(np.arange(sizes.size), sizes)
        adjusted = rounded(scores + bonuses(pieces, scores, codes, owner))
        self._adjusted: Floats = np.append(adjusted, np.array([rounded(self._worst), 0.0]))
        self.joined = JoinedCharacters(codes, owner)
        self._marks = marks = Marks(*unused(codes))
        short = Short(codes, owner, self._adjusted, unknown)
        cuts = SegmentCuts(self.joined, marks)
        self._fine_ids = FineIds(cuts, short, self._segment_ids, self.searched)
        file = sentencepiece_file([*pieces, _NEVER, marks.cut], self._adjusted, unknown)
        # The library's own types are partly unknown.
        self._library: Any = SentencePieceProcessor(model_proto=file)
        self._adjusted[unknown] = 0.0
        self._units = repeated_units(pieces, sizes, codes)
        self._prefixes = piece_prefixes(sizes, codes)
        self._remembered = lru_cache(REMEMBERED)(self._word)
        self._mark = len(pieces) + 1
        first = codes[np.cumsum(sizes) - sizes]
        self._begins = np.append(first == ord(BLANK), np.array([False, True]))
        self._sizes = np.append(sizes, [0, 1]).astype(np.uint8)
        self._sizes[unknown] = 0
        known = (*np.flatnonzero(np.bincount(codes)).tolist(), ord(" "))
        self._strange = re.compile(f"({character_class(known, others=True)}+)")

    @property
    def size(self) -> int:
        """Pieces."""
        return self._scores.size

    def piece(self, at: int) -> str:
        """Of an id."""
        return str(self._library.id_to_piece(at))

    def id(self, piece: str) -> int | None:
        """Of a piece."""
        found = int(self._library.piece_to_id(piece))
        is_piece = found != self.unknown or piece == self._unknown_piece
        return found if is_piece and found < self.size else None

    def ids(self, texts: Sequence[str]) -> tuple[Ids, Counts]:
        """All texts' ids one behind the other, (L,), and how many each has, (T,).

        Unknown characters side by side may be several tokens.

        Args:
            texts: T of them, each empty or with a blank or U+2581 first.
        """
        dense = [has_short_segments(text) for text in texts]
        others = [text for text, is_dense in zip(texts, dense, strict=True) if not is_dense]
        some = [text for text, is_dense in zip(texts, dense, strict=True) if is_dense]
        if sum(map(len, some)) < WORTH_CUTTING:
            return self._ids_by_groups(texts)
        if not others:
            return self._fine_ids.ids(some)
        at = np.argsort(np.array(dense), kind="stable")
        one, counts = self._ids_by_groups(others)
        other, more = self._fine_ids.ids(some)
        flat, sizes = np.append(one, other), np.append(counts, more)
        parts = np.split(flat, np.cumsum(sizes)[:-1])
        back = np.argsort(at)
        ordered: list[Ids] = [parts[i] for i in back.tolist()]
        return np.concatenate(ordered), sizes[back]

    def _ids_by_groups(self, texts: Sequence[str]) -> tuple[Ids, Counts]:
        """Of all texts, none of which needs to be cut finely."""
        groups: list[str] = []
        ends = [0]
        for text in texts:
            groups += self.groups(text)
            ends.append(len(groups))
        found, again = self._found(groups)
        for index, spans in again.items():
            found[index] = [id_ for id_, _ in spans]
        flat, sizes = _flat(found)
        return flat, np.diff(np.append(0, np.cumsum(sizes))[ends])

    def _segment_ids(self, segments: list[str]) -> list[bytes]:
        """Of each one, by the search itself; TIED where what stands around it decides."""
        marked = [each if each[0] == " " else self._marks.cut + each for each in segments]
        number = np.cumsum(np.fromiter(map(len, marked), np.int64, len(marked))) // GROUP
        bounds = [0, *(np.flatnonzero(np.diff(number)) + 1).tolist(), len(marked)]
        groups = ["".join(marked[start:end]) for start, end in pairwise(bounds)]
        flat, sizes = _flat(self._plain(groups))
        begins = np.flatnonzero(self._begins[flat])
        ends = np.append(begins, flat.size)[1:]
        tied = self._tied(flat, ends - begins)
        begins += flat[begins] == self._mark
        data = flat.tobytes()
        places = zip((begins * ID_BYTES).tolist(), (ends * ID_BYTES).tolist(), strict=True)
        found = [data[start:end] for start, end in places]
        for index in tied:
            found[index] = TIED
        inexact = self._inexact(groups, flat, sizes)
        again = [at for index in inexact for at in range(bounds[index], bounds[index + 1])]
        for at, ids in zip(again, self._alone([segments[at] for at in again]), strict=True):
            found[at] = ids
        return found

    def _alone(self, segments: list[str]) -> list[bytes]:
        """The same, each searched by itself."""
        ways, again, tied = self._ways(segments)
        found: list[bytes] = []
        for index, way in enumerate(ways):
            ids = packed(again[index]) if index in again else np.array(way, np.int32).tobytes()
            found.append(TIED if index in tied else ids)
        return found

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
        found, again, tied = self._ways(texts)
        for start, end in _whole_words(texts, tied):
            again |= {index: [] for index in range(start, end)}
            again[start] = self.searched("".join(texts[start:end]))
        return found, again

    def _ways(
        self, texts: Sequence[str]
    ) -> tuple[list[list[int]], dict[int, list[Span]], set[int]]:
        """The same, but for those where a tie is left to what stands around them."""
        found = self._plain(texts)
        flat, sizes = _flat(found)
        suspect, tied = self._inexact(texts, flat, sizes), self._tied(flat, sizes)
        again: dict[int, list[Span]] = {index: [] for index in suspect}
        parts = [(index, part) for index in suspect for part in self._fine(texts[index])]
        some = [part for _, part in parts]
        finer = self._plain(some)
        inexact = set(self._inexact(some, *_flat(finer)))
        for at, ((index, part), ids) in enumerate(zip(parts, finer, strict=True)):
            if self._strange.fullmatch(part) is not None:
                again[index].append((self.unknown, len(part)))
            else:
                again[index] += self.searched(part) if at in inexact else self._spans(part, ids)
        return found, again, tied

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
            if text[at] == " " or not self.joined.spans(text[at - 1], text[at]):
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
        owner = np.repeat(np.arange(sizes.size), sizes)
        return set(owner[1:][turns & (owner[1:] == owner[:-1])].tolist())

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
        codes = [ord(character) for character in word]
        seen: dict[str, tuple[int, float] | None] = {}  # pieces
        unknown = as_read(self._worst) - UNKNOWN_PENALTY
        best: list[tuple[float, int, int]] = [(-math.inf, 0, 0)] * (len(word) + 1)
        best[0] = (0.0, 0, 0)  # score, start, id
        for start in range(len(word)):
            here, slot, is_alone = best[start][0], 0, False
            for end in range(start + 1, min(len(word), start + self._longest) + 1):
                slot = next_slot(slot, codes[end - 1])
                if not self._prefixes[slot]:
                    break  # no piece begins like that
                if self._prefixes[slot] == PREFIX:
                    continue
                piece = word[start:end]
                if piece not in seen:
                    seen[piece] = self._scored(piece)
                found = seen[piece]
                if found is not None:
                    is_alone |= end == start + 1
                    if here + found[1] > best[end][0]:
                        best[end] = (here + found[1], start, found[0])
            if not is_alone and here + unknown > best[start + 1][0]:
                best[start + 1] = (here + unknown, start, self.unknown)
        spans: list[Span] = []
        end = len(word)
        while end > 0:
            _, start, id_ = best[end]
            spans.append((id_, end - start))
            end = start
        return tuple(spans[::-1])

    def _scored(self, piece: str) -> tuple[int, float] | None:
        id_ = self.id(piece)
        return None if id_ is None else (id_, as_read(float(self._scores[id_])))


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
