"""Requests of wanted lengths made of real text; equal texts, seed and tokenizer: equal requests."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rerankd.core.request import Content, RerankRequest
from rerankd.core.rows import Prepared
from rerankd.measure.spread import percentile
from rerankd.models.base import AnyModel, ListwiseModel

# The long-tailed mix: log-normal with this median and ninth decile.
MEDIAN_TOKENS, P90_TOKENS = 127, 293
UNIFORM_TOKENS = 128
_Z90 = 1.2816  # ninth decile of the normal distribution
_QUERY_WORDS = (4, 12)
_ROOM_TOKENS = 8  # a document has at least this many
_STEPS = 6  # corrections of a document's words after its tokens were counted


@dataclass(frozen=True, slots=True)
class Request:
    """A query and its documents."""

    query: str
    documents: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """Tokens per pair of a workload, as measured."""

    pairs: int
    mean: float
    median: float
    p90: float
    low: int
    high: int

    def __str__(self) -> str:
        return (
            f"{self.pairs} pairs: median {self.median:.0f}, p90 {self.p90:.0f}, "
            f"mean {self.mean:.0f}, {self.low} to {self.high} tokens"
        )


def pair_tokens(model: AnyModel, request: Request) -> list[int]:
    """Tokens of each (query, document) pair; a document over the window counts all its chunks.

    Of a listwise model: of each document's prompt, if nothing else were in it.
    """
    if isinstance(model, ListwiseModel):
        return [
            _prepared(model, request.query, [document]).input_tokens
            for document in request.documents
        ]
    prepared = _prepared(model, request.query, request.documents)
    tokens = [0] * len(request.documents)
    for row, owner in zip(prepared.rows, prepared.owners, strict=True):
        tokens[owner] += row.tokens
    return tokens


def row_tokens(model: AnyModel, request: Request) -> list[int]:
    """Tokens of what runs: of each pair, or of a listwise model's prompts."""
    if isinstance(model, ListwiseModel):
        return [row.tokens for row in _prepared(model, request.query, request.documents).rows]
    return pair_tokens(model, request)


def _prepared(model: AnyModel, query: str, documents: Sequence[str]) -> Prepared:
    contents = tuple(Content(value=text) for text in documents)
    return model.prepare(RerankRequest(query=Content(value=query), documents=contents))


def lengths(tokens: Sequence[int]) -> Lengths:
    """The distribution of at least one length."""
    return Lengths(
        pairs=len(tokens),
        mean=sum(tokens) / len(tokens),
        median=percentile(tokens, 0.5),
        p90=percentile(tokens, 0.9),
        low=min(tokens),
        high=max(tokens),
    )


def long_tailed(draw: random.Random, count: int, *, most: int | None) -> list[int]:
    """`count` wanted lengths in tokens of the long-tailed mix, none over `most`."""
    sigma = math.log(P90_TOKENS / MEDIAN_TOKENS) / _Z90
    wanted = [round(math.exp(draw.gauss(math.log(MEDIAN_TOKENS), sigma))) for _ in range(count)]
    return [min(tokens, most) if most else tokens for tokens in wanted]


def uniform(_: random.Random, count: int, *, most: int | None) -> list[int]:
    """`count` times the same length."""
    return [min(UNIFORM_TOKENS, most) if most else UNIFORM_TOKENS] * count


Mix = Callable[..., list[int]]


class Maker:
    """Makes requests whose pairs have wanted lengths under one model's tokenizer."""

    def __init__(self, model: AnyModel, texts: Sequence[str], *, seed: int = 0) -> None:
        """Take the words of the texts.

        Args:
            model: counts tokens.
            texts: at least some hundred words in all.
            seed: decides which words a document gets.
        """
        self._model = model
        self._draw = random.Random(seed)
        self._words = [word for text in texts for word in text.split()]
        window = model.card.window_tokens
        self._most = window - 1 if window else None

    def request(self, documents: int, mix: Mix = long_tailed) -> Request:
        """One request; lengths are met within a word or two, and none is over the window."""
        draw = self._draw
        query = " ".join(self._span(draw.randrange(len(self._words)), draw.randint(*_QUERY_WORDS)))
        wanted = mix(draw, documents, most=self._most)
        starts = [draw.randrange(len(self._words)) for _ in wanted]
        counts = [max(1, tokens // 2) for tokens in wanted]
        empty = pair_tokens(self._model, Request(query, ("",)))[0]
        made = self._made(query, starts, counts)
        for _ in range(_STEPS):
            tokens = pair_tokens(self._model, made)
            for i, (want, have) in enumerate(zip(wanted, tokens, strict=True)):
                want_own = max(want - empty, _ROOM_TOKENS)
                counts[i] = max(1, round(counts[i] * want_own / max(have - empty, 1)))
            made = self._made(query, starts, counts)
        return self._fitting(query, starts, counts)

    def _fitting(self, query: str, starts: list[int], counts: list[int]) -> Request:
        """The request with every document shortened until its pair is one row."""
        while True:
            made = self._made(query, starts, counts)
            tokens = pair_tokens(self._model, made)
            long = [i for i, n in enumerate(tokens) if self._most and n > self._most]
            if not long:
                return made
            for i in long:
                counts[i] = max(1, counts[i] * 9 // 10)

    def _made(self, query: str, starts: list[int], counts: list[int]) -> Request:
        spans = (self._span(start, n) for start, n in zip(starts, counts, strict=True))
        return Request(query, tuple(" ".join(span) for span in spans))

    def _span(self, start: int, count: int) -> list[str]:
        """`count` words from `start` on, around the end of the texts."""
        words = self._words
        return [words[(start + i) % len(words)] for i in range(count)]
