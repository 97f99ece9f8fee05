"""A tokenizer of XLM-R's form without the library `tokenizers`: the same ids and places.

The library takes 280 MB for XLM-R's vocabulary and five times the time. This one answers to as much
of the library's own interface as is used here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

import numpy as np
import numpy.typing as npt

from rerankd.core.rows import TokenIds
from rerankd.models.unigram_model import UnigramModel
from rerankd.models.unigram_steps import (
    NOT_WHITE,
    WHITE,
    Placed,
    Step,
    placed_words,
    spelled,
)

QUERY: Final = "A"  # in a template
DOCUMENT: Final = "B"

Offsets = list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Added:
    """A token that is looked for in the text itself."""

    id: int
    content: str
    takes_blanks: bool = False  # those before it too
    normalized: bool = False  # looked for in the normalised text


@dataclass(frozen=True, slots=True)
class Slot:
    """One part of a pair's template."""

    token_type: int
    text: str = ""  # QUERY or DOCUMENT, else it is a special token:
    ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What a tokenizer does around the search."""

    steps: tuple[Step, ...]  # of the normaliser
    by_words: bool  # the text is split at white space; otherwise every blank counts
    added: tuple[Added, ...] = ()
    pair: tuple[Slot, ...] = (Slot(0, QUERY), Slot(1, DOCUMENT))
    single: tuple[Slot, ...] = (Slot(0, QUERY),)  # of one text alone


@dataclass(frozen=True, slots=True, eq=False)
class UnigramEncoding:
    """A text's tokens."""

    ids: TokenIds  # (L,)
    text: str
    tokenizer: UnigramTokenizer

    @property
    def offsets(self) -> Offsets:
        """Where each token's first character is, and the end of its last; made when asked for."""
        return self.tokenizer.places(self.text)


@dataclass(frozen=True, slots=True, eq=False)
class PairEncoding:
    """A pair with its special tokens, as the library describes it."""

    ids: list[int]
    type_ids: list[int]
    special_tokens_mask: list[int]
    tokens: list[str]


class _Normalizer:
    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = tuple(steps)

    def normalize_str(self, text: str) -> str:
        """The normalised text."""
        for step in self._steps:
            text = step.normal(text)
        return text


class UnigramTokenizer:
    """Texts to ids. Thread-safe."""

    def __init__(self, model: UnigramModel, form: Form) -> None:
        """Put both together."""
        self.model, self.form = model, form
        self.normalizer = _Normalizer(form.steps)
        self._plain = all(
            not set(NOT_WHITE) & set(self.normalizer.normalize_str(each)) for each in NOT_WHITE
        )
        raw = [token for token in form.added if not token.normalized]
        self._raw = _Finder([(token.content, token) for token in raw])
        found = [token for token in form.added if token.normalized]
        self._normalized = _Finder(
            [(self.normalizer.normalize_str(token.content), token) for token in found]
        )

    def encode(self, text: str, *, add_special_tokens: bool = False) -> UnigramEncoding:
        """One text, without special tokens."""
        return self.encode_batch_fast([text])[0]

    def encode_batch(
        self, texts: Sequence[str], *, add_special_tokens: bool = False
    ) -> list[UnigramEncoding]:
        """As encode_batch_fast(): places are made when they are asked for."""
        return self.encode_batch_fast(texts)

    def encode_batch_fast(
        self, texts: Sequence[str], *, add_special_tokens: bool = False
    ) -> list[UnigramEncoding]:
        """Several texts, without special tokens."""
        parts: list[str] = []
        tokens: dict[int, int] = {}  # index in `parts` -> id
        ends: list[int] = []
        for text in texts:
            for part in self._parts(text):
                if isinstance(part, str):
                    parts.append(part)
                else:
                    tokens[len(parts)] = part
                    parts.append("")
            ends.append(len(parts))
        ids, sizes = self._with_tokens(*self.model.ids(parts), tokens)
        bounds = np.append(0, np.cumsum(sizes))[[0, *ends]].tolist()
        return [
            UnigramEncoding(ids[start:end].copy(), text, self)
            for text, start, end in zip(texts, bounds, bounds[1:], strict=False)
        ]

    def places(self, text: str) -> Offsets:
        """Where each token's characters are in the text, in code points."""
        found: Offsets = []
        at = 0
        for part in self._raw.parts(text):
            if isinstance(part, str):
                placed: Placed = [(each, (i, i + 1)) for i, each in enumerate(part)]
                for step in self.form.steps:
                    placed = step.placed(placed)
                found += ((at + start, at + end) for start, end in self._places(placed))
                at += len(part)
            else:
                found.append((at, at + part.size))
                at += part.size
        return found

    def post_process(self, query: UnigramEncoding, document: UnigramEncoding) -> PairEncoding:
        """Both with the special tokens of a pair."""
        ids: list[int] = []
        types: list[int] = []
        special: list[int] = []
        for slot in self.form.pair:
            text = {QUERY: query, DOCUMENT: document}.get(slot.text)
            more = list(slot.ids) if text is None else text.ids.tolist()
            ids += more
            types += [slot.token_type] * len(more)
            special += [int(text is None)] * len(more)
        return PairEncoding(ids, types, special, [str(self.id_to_token(id_)) for id_ in ids])

    def all_ids(self) -> set[int]:
        """Every id that it may give."""
        return {*range(self.model.size), *(token.id for token in self.form.added)}

    @property
    def largest_id(self) -> int:
        """Of those."""
        return max([self.model.size - 1, *(token.id for token in self.form.added)])

    def get_added_tokens_decoder(self) -> dict[int, Added]:
        """The tokens that are looked for in texts, by id."""
        return {token.id: token for token in sorted(self.form.added, key=lambda each: each.id)}

    def id_to_token(self, id_: int) -> str | None:
        """A token's text."""
        if 0 <= id_ < self.model.size:
            return self.model.piece(id_)
        return next((token.content for token in self.form.added if token.id == id_), None)

    def token_to_id(self, token: str) -> int | None:
        """A token's id."""
        added = (each.id for each in self.form.added if each.content == token)
        return next(added, self.model.id(token))

    def _parts(self, text: str) -> Iterator[str | int]:
        """A text as the search wants it, and the tokens that stand in it."""
        for part in self._raw.parts(text):
            if not isinstance(part, str):
                yield part.id
                continue
            for each in self._normalized.parts(self.normalizer.normalize_str(part)):
                yield self._spelled(each) if isinstance(each, str) else each.id

    def _spelled(self, text: str) -> str:
        return spelled(text, by_words=self.form.by_words, plain_split=self._plain)

    def _places(self, text: Placed) -> Iterator[tuple[int, int]]:
        """Of the tokens of a normalised text."""
        at = 0
        for part in self._normalized.parts("".join(character for character, _ in text)):
            if not isinstance(part, str):
                yield text[at][1][0], text[at + part.size - 1][1][1]
                at += part.size
                continue
            words = placed_words(text[at : at + len(part)], by_words=self.form.by_words)
            at += len(part)
            whole = list(chain.from_iterable(words))
            done = 0
            for size in self._sizes("".join(character for character, _ in whole)):
                yield whole[done][1][0], whole[done + size - 1][1][1]
                done += size

    def _sizes(self, text: str) -> list[int]:
        """Characters of each token of a spelled text."""
        sizes: list[int] = []
        was_unknown = False
        for id_, size in self.model.spans([*self.model.groups(text)]):
            if was_unknown and id_ == self.model.unknown:
                sizes[-1] += size
            else:
                sizes.append(size)
            was_unknown = id_ == self.model.unknown
        return sizes

    def _with_tokens(
        self, ids: TokenIds, sizes: npt.NDArray[np.int64], tokens: dict[int, int]
    ) -> tuple[TokenIds, npt.NDArray[np.int64]]:
        """The tokens that stand in the texts put in; unknown characters side by side are one."""
        is_token = np.zeros(ids.size, np.bool_)
        if tokens:
            at = np.fromiter(tokens, np.int64, len(tokens))
            places = (np.cumsum(sizes) - sizes)[at]
            ids = np.insert(ids, places, np.fromiter(tokens.values(), np.int32, len(tokens)))
            is_token = np.insert(is_token, places, np.ones(len(tokens), np.bool_))
            sizes[at] += 1
        unknown = (ids == self.model.unknown) & ~is_token
        again = (
            unknown[1:] & unknown[:-1]
        )  # a text, and what is behind a token, begins with a blank
        if again.any():
            kept = np.append(np.array([True]), ~again)
            owner = np.repeat(np.arange(sizes.size), sizes)[kept]
            ids, sizes = ids[kept], np.bincount(owner, minlength=sizes.size)
        return ids, sizes


@dataclass(frozen=True, slots=True)
class _Found:
    id: int
    size: int  # characters that it takes


class _Finder:
    """Looks for tokens: the first place, and there the longest."""

    def __init__(self, tokens: Sequence[tuple[str, Added]]) -> None:
        self._tokens = dict(tokens)
        longest_first = sorted(self._tokens, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if tokens else None

    def parts(self, text: str) -> Iterator[str | _Found]:
        """The tokens, and what stands between them."""
        at = 0
        for match in self._pattern.finditer(text) if self._pattern else ():
            token, start = self._tokens[match[0]], match.start()
            if token.takes_blanks:
                start = at + len(text[at:start].rstrip(WHITE))
            if start > at:
                yield text[at:start]
            yield _Found(token.id, match.end() - start)
            at = match.end()
        if at < len(text):
            yield text[at:]
