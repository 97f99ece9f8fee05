"""Text -> token ids, a long text in parts: the ids of the whole, bounded calls, and a way out.

The library cannot be stopped while it tokenises. A text is therefore cut where that changes no
token (models.seams); one that cannot be cut for too long is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from rerankd.core.errors import InvalidRequest
from rerankd.core.rows import TokenIds
from rerankd.models.pair_template import token_ids
from rerankd.models.seams import Seams
from rerankd.models.text_parts import Check, Cutter, Part, Uncut, in_slices, weight
from rerankd.models.tokenizer_parts import read_parts

if TYPE_CHECKING:
    from rerankd.models.tokens import AnyEncoding, AnyTokenizer

_PROBE: Final = (
    "The quick brown fox doesn't jump over 13 lazy dogs;\r\n it's 3.14, e.g. {\"a\":[1,-2.5e3]}.\n"
    "Straße, İstanbul, Ἀθῆναι, столица ё; 中国的首都是北京。東京タワー、ひらがな ภาษาไทยง่าย "
    "한국어를 हिन्दी में الْعَرَبِيَّةُ עברית 😀😃👩\u200d🚀 ﷺ ﬁ ½ e\u0301 a\u0327\u0301 \u3000 \xa0\t"
    "supercalifragilisticexpialidocious_snake_case camelCase ERR_42 https://example.com/?q=1&p=2 "
)


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """A text's tokens."""

    ids: TokenIds  # (L,), of what stands before the text too
    first: int = 0  # index of the text's first token; a token of both is the text's


class TextEncoder:
    """A tokenizer for texts of any length. Thread-safe."""

    def __init__(self, tokenizer: AnyTokenizer) -> None:
        """Find out where this tokenizer's texts may be cut, and try it.

        Args:
            tokenizer: truncation and padding off; used by several threads at once.
        """
        self.tokenizer = tokenizer
        self.cutter = Cutter(self._checked_seams())
        self.notes: tuple[str, ...] = ()  # what the operator should know of this tokenizer
        if not self.cutter.can_cut:
            note = (
                "the form of its tokenizer.json is not known here, so that a long text cannot be "
                f"tokenised in parts: texts of over {self.cutter.longest_uncut} characters are "
                "refused."
            )
            self.notes = (note,)

    def encode(self, text: str, name: str, check: Check | None = None) -> TokenIds:
        """One text's ids, no special tokens added.

        Raises:
            InvalidRequest: it has too long a run that cannot be cut; `name` is the field.
        """
        return next(self.stream([text], [name], check)).ids

    def stream(
        self,
        texts: Sequence[str],
        names: Sequence[str],
        check: Check | None = None,
        *,
        before: str = "",
        enough: int | None = None,
    ) -> Iterator[Encoded]:
        """Every text's tokens, no special tokens added, in order.

        Args:
            texts: T of them.
            names: their fields, for errors, T.
            check: called between parts.
            before: what stands before each text and is tokenised with it as one string.
            enough: a text's further tokens may be left out once it has more than so many.

        Raises:
            InvalidRequest: a text has too long a run that cannot be cut.
            Whatever `check` raises.
        """
        done, look = 0, check or _nothing
        part = self.cutter.part
        for some in in_slices(texts, 2 * part, each=len(before)):
            look()
            whole = [before + text for text in some] if before else list(some)
            if len(some) == 1 and weight(whole[0], part) > part:
                try:
                    yield self._long(whole[0], look, len(before), enough)
                except Uncut as uncut:
                    place = max(0, uncut.start - len(before))
                    raise self._too_long(some[0], names[done], place) from None
            else:
                yield from self._short(whole, len(before))
            done += len(some)

    def covered(self, text: str, tokens: int, check: Check | None = None) -> str:
        """The beginning of a text that its first tokens stand for; tokens >= 1, of its own.

        May be a space short where a tokenizer strips the spaces at the ends of a text.
        """
        end: int | None = None  # of the last of these tokens, if nothing behind a seam joins it
        for part in self.cutter.parts(text, check or _nothing):
            encoding, skipped = self._encode(part, offsets=True)
            count = len(encoding.ids) - skipped
            if end is not None:
                end = max(end, _joined_end(part, encoding, skipped))
                if count:
                    break
            elif tokens <= count:
                end = part.place(encoding.offsets[skipped + tokens - 1][1])
                if tokens < count:
                    break
            else:
                tokens -= count
        return text[:end]

    def places(
        self,
        text: str,
        spans: Sequence[tuple[int, int]],
        check: Check | None = None,
        *,
        before: str = "",
    ) -> list[tuple[int, int]]:
        """Which characters of a text some of its tokens stand for.

        Args:
            text: that stream() takes.
            spans: [start, end) of its own tokens, as stream() counts them, end > start.
            check: called between parts.
            before: as in stream().

        Returns:
            [start, end) in characters, for each span; where a tokenizer leaves characters out, as
            spaces, they belong to no token.
        """
        wanted, reaches = max((end for _, end in spans), default=0), len(before)
        found: list[tuple[int, int]] = []  # of all tokens, in what is tokenised
        first = None if reaches else 0  # as Encoded.first
        for part in self.cutter.parts(before + text, check or _nothing):
            encoding, skipped = self._encode(part, offsets=True)
            joined = _joined_end(part, encoding, skipped)
            if found and joined:
                found[-1] = (found[-1][0], joined)
                first = len(found) - 1 if first is None and joined > reaches else first
            for start, end in encoding.offsets[skipped:]:
                if first is None and part.place(end) > reaches:
                    first = len(found)
                found.append(part.span(start, end))
            if first is not None and len(found) - first > wanted:
                break
        own = found[first:] if first is not None else []
        if not own:
            return [(0, len(text)) for _ in spans]
        last = len(own) - 1  # of the same text, tokenised with less behind it, there may be fewer
        asked = [(own[min(start, last)][0], own[min(end - 1, last)][1]) for start, end in spans]
        return [
            (max(start - reaches, 0), max(end, start, reaches) - reaches) for start, end in asked
        ]

    def _short(self, texts: list[str], reaches: int) -> Iterator[Encoded]:
        encode = self.tokenizer.encode_batch if reaches else self.tokenizer.encode_batch_fast
        for encoding in encode(texts, add_special_tokens=False):
            ends = (end for _, end in encoding.offsets) if reaches else iter(())
            yield Encoded(token_ids(encoding), _first_over(ends, reaches, len(encoding.ids)))

    def _long(self, text: str, check: Check, reaches: int, enough: int | None) -> Encoded:
        """A text in parts; Encoded.first is of the first token that ends over `reaches`."""
        found: list[TokenIds] = []
        size, first = 0, None if reaches else 0
        for part in self.cutter.parts(text, check):
            looks = first is None and part.end > reaches
            encoding, skipped = self._encode(part, offsets=looks)
            ids = token_ids(encoding)[skipped:]
            if looks:
                ends = (part.place(end) for _, end in encoding.offsets[skipped:])
                at = _first_over(ends, reaches, ids.size)
                first = size + at if at < ids.size else None
                if size and _joined_end(part, encoding, skipped) > reaches:
                    first = size - 1
            found.append(ids)
            size += ids.size
            if enough is not None and first is not None and size - first > enough:
                break
        return Encoded(np.concatenate(found), size if first is None else first)

    def _encode(self, part: Part, *, offsets: bool) -> tuple[AnyEncoding, int]:
        """A part's encoding, and how many of its tokens stand for what is before its seam."""
        texts = [part.shortened.text]
        if part.is_inside:
            texts.append(texts[0][0])
        # A batch, even of one: only then is the interpreter free meanwhile.
        encode = self.tokenizer.encode_batch if offsets else self.tokenizer.encode_batch_fast
        encoding, *before = encode(texts, add_special_tokens=False)
        return encoding, len(before[0].ids) if before else 0

    def _too_long(self, text: str, name: str, start: int) -> InvalidRequest:
        limit = self.cutter.longest_uncut
        what = f"{name} has {len(text)} characters"
        if self.cutter.can_cut:
            what = f"{name} has over {limit} characters in a row, from character {start} on, that"
            what += " the model's tokenizer does not split, as at spaces between words"
        return InvalidRequest(
            f"{what}; the limit is {limit} (a ligature counts as what it stands for). Shorten it, "
            "or send it as several documents.",
            param=name.partition("[")[0],
        )

    def _checked_seams(self) -> Seams | None:
        """Where to cut, as far as trying it finds no fault."""
        parts = read_parts(self.tokenizer)
        if parts is None:
            return None
        seams = Seams(parts, self.tokenizer)
        if not self._is_exact(seams):
            seams.keep_words_whole()
        return seams if self._is_exact(seams) else None

    def _is_exact(self, seams: Seams) -> bool:
        """Whether texts that are cut, as often as can be, give the ids of the whole."""
        tokens = self.tokenizer.get_added_tokens_decoder().values()
        added = " ".join(token.content for token in list(tokens)[:4])
        self.cutter = Cutter(seams, part=3, longest_uncut=1_000_000)
        for text in (_PROBE, _PROBE[::-1], "中国的首都是北京" * 4, f"{added}a{added}"):
            whole = self.tokenizer.encode(text, add_special_tokens=False)
            if not np.array_equal(self._long(text, _nothing, 0, None).ids, token_ids(whole)):
                return False
        return True


def _joined_end(part: Part, encoding: AnyEncoding, skipped: int) -> int:
    """Where the token before a part's seam ends, if what is behind joins it; else 0.

    Only unknown characters do: side by side they are one token.
    """
    end = encoding.offsets[skipped - 1][1] if skipped else 0
    return part.place(end) if end > 1 else 0


def _first_over(ends: Iterator[int], place: int, count: int) -> int:
    """Index of the first end over a place, `count` if there is none; 0 for place 0."""
    return next((i for i, end in enumerate(ends) if end > place), count) if place else 0


def _nothing() -> None:
    """No check."""
