"""The one canonical request and answer that every dialect parses into and renders from.

Frozen data, no I/O, no framework types. Shapes: B rows, L tokens, C chunks, K labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from rerankd.core.media import Media
from rerankd.core.visual import Placed

TokenIds = npt.NDArray[np.int32]  # shape (L,)
Logits = npt.NDArray[np.float32]  # shape (B, K)
Scores = npt.NDArray[np.float64]  # shape (B,)

Modality = Literal["text", "image", "video"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A query or a document: one modality and its value.

    `value` is the text, or the caller's image/video reference (URL or base64).
    `media` is what the reference stands for, once it is fetched and decoded; None before, and for
    a text.
    `echo` is the object that the caller sent, for `return_documents`; None when it was a string.
    """

    modality: Modality = "text"
    value: str
    media: Media | None = None
    echo: Mapping[str, object] | None = None

    @property
    def is_unread(self) -> bool:
        """An image or a video that is not fetched and decoded yet."""
        return self.modality != "text" and self.media is None


@dataclass(frozen=True, slots=True, kw_only=True)
class RerankRequest:
    """What a caller asked, in one form for all dialects.

    Units: `overlap_tokens`, `max_tokens_per_doc` and `max_tokens_per_query` count tokens of the
    model's own tokenizer.
    """

    query: Content
    documents: tuple[Content, ...]  # never empty: dialects refuse that earlier
    model: str | None = None  # None = the server's default model
    top_n: int | None = None  # None = rank all documents
    instruction: str | None = None
    return_documents: bool | None = None  # None = nobody said; dialects always do
    max_chunks_per_doc: int = 1024
    overlap_tokens: int = 80  # used as min(overlap_tokens, document window // 4)
    max_tokens_per_doc: int | None = None  # None = the whole document
    truncation: bool = True  # False = refuse a document that would be cut
    truncate_query: bool = False  # True = cut a query that is too long, False = refuse it
    max_tokens_per_query: int | None = None  # None = the whole query
    raw_scores: bool = False  # True = logits instead of calibrated scores
    priority: int = 0  # lower is served first, among requests of the same key
    rank_fields: tuple[str, ...] = ()  # keys of document objects that made their `value`
    scope: bytes = b""  # whose memory of texts is used, at most 16 bytes; empty = everybody's

    def contents(self) -> Iterator[tuple[str, Content]]:
        """Query and documents, each with its field's name for errors."""
        yield "query", self.query
        for i, document in enumerate(self.documents):
            yield f"documents[{i}]", document


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """Token ids of one (query, chunk) pair, special tokens included.

    `ids` has shape (L,), L > 0. `second` is the index of the first token of the second segment
    (token type 1 for BERT; where the document starts for the lexical engine); L when there is none.
    `visuals` are what some of the tokens stand for, in reading order; rows of one query share them.
    """

    ids: TokenIds
    second: int
    visuals: tuple[Placed, ...] = field(default=(), kw_only=True)

    @property
    def tokens(self) -> int:
        """Length L of the row: what it costs in a batch, a queue and the usage count."""
        return int(self.ids.size)

    @property
    def image_tokens(self) -> int:
        """How many of the tokens stand for a part of an image or of a video frame."""
        return sum(placed.visual.tokens for placed in self.visuals)

    def key(self) -> tuple[int, bytes]:
        """Equal keys mean equal pairs: they are scored once.

        Two images have the same placeholder ids, so their digests are in the key. Where a model
        has images, `second` is L in all its rows: it says where in the bytes the ids end.
        """
        if not self.visuals:
            return self.second, self.ids.tobytes()
        return self.second, b"".join([self.ids.tobytes(), *(p.key for p in self.visuals)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A request as token rows: what a model makes of it before any engine runs.

    rows[i] belongs to documents[owners[i]]; rows are in document order, then chunk order, and
    every document has at least one row.
    """

    rows: tuple[Row, ...]
    owners: tuple[int, ...]
    truncated: frozenset[int] = frozenset()  # indexes of documents of which something was cut off
    warnings: tuple[str, ...] = ()

    @property
    def image_tokens(self) -> int:
        """Placeholder tokens of images and video frames in all rows, counted as input_tokens."""
        return sum(row.image_tokens for row in self.rows)

    @property
    def input_tokens(self) -> int:
        """Sum of the lengths of all rows: exact, equal pairs each counted."""
        return sum(row.tokens for row in self.rows)


@dataclass(frozen=True, slots=True)
class Hit:
    """One ranked document."""

    index: int  # position in request.documents, 0-based
    score: float  # calibrated to [0, 1], or the logit when raw_scores was asked for
    logit: float  # what the order is made by
    truncated: bool = False
    stage: str = ""  # who scored it, when it is not the model that answers (core.cascade)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """The answer: hits best first, ties by lower index, and exact counts."""

    model: str  # who answered, never an alias
    hits: tuple[Hit, ...]
    documents: int  # how many were ranked, before top_n
    input_tokens: int
    cached_tokens: int = 0
    image_tokens: int = 0
    warnings: tuple[str, ...] = field(default_factory=tuple[str, ...])


def texts(contents: Sequence[Content]) -> list[str]:
    """The values of text contents; the caller has checked the modality."""
    return [content.value for content in contents]
