"""The one canonical request that every dialect parses into. Frozen data, no framework types."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from rerankd.core.media import Media

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
    explain: bool = False  # True = say how each score came about
    scope: bytes = b""  # whose memory of texts is used, at most 16 bytes; empty = everybody's

    def contents(self) -> Iterator[tuple[str, Content]]:
        """Query and documents, each with its field's name for errors."""
        yield "query", self.query
        for i, document in enumerate(self.documents):
            yield f"documents[{i}]", document
