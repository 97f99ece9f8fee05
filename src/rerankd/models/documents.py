"""What every family does with a request's texts: check them, cut the documents, say so."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from rerankd.core.chunk import ChunkRule, chunk, used_overlap
from rerankd.core.errors import InvalidRequest
from rerankd.core.explanation import Span
from rerankd.core.request import Content, RerankRequest
from rerankd.core.rows import TokenIds
from rerankd.models.base import ModelCard
from rerankd.models.text_encoder import TextEncoder
from rerankd.models.text_parts import Check


def check_texts(request: RerankRequest, card: ModelCard) -> None:
    """Every content is text that can be encoded.

    Raises:
        InvalidRequest: naming the field.
    """
    for name, content in request.contents():
        if content.modality != "text" or not content.value.isascii():  # what can be wrong
            check_text(name, content, card)


def check_text(name: str, content: Content, card: ModelCard) -> None:
    """One content, as check_texts()."""
    if content.modality != "text":
        raise InvalidRequest(
            f"{name} is {content.modality}, but {card.name} reads text only.",
            param=name.partition("[")[0],
        )
    try:
        content.value.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequest(
            f"{name} is not valid Unicode: a lone surrogate at position {error.start}.",
            param=name.partition("[")[0],
        ) from None


def document_names(request: RerankRequest) -> list[str]:
    """The documents' fields, for errors."""
    return [f"documents[{i}]" for i in range(len(request.documents))]


def tokens_read(request: RerankRequest, room: int) -> int | None:
    """Tokens of a document that are read at most; None = how many it has is told to the caller."""
    if not request.truncation:
        return None
    stride = room - used_overlap(request.overlap_tokens, room)
    read = (request.max_chunks_per_doc - 1) * stride + room
    return min(read, request.max_tokens_per_doc or read)


class CutDocument(NamedTuple):
    """A document as chunks."""

    chunks: Sequence[TokenIds]  # at least one
    is_cut: bool  # some of its tokens are in none
    spans: Sequence[tuple[int, int]]  # of its tokens, by chunk


def cut_document(
    ids: TokenIds, room: int, request: RerankRequest, index: int, *, rule: ChunkRule = "bce"
) -> CutDocument:
    """A document's chunks.

    Raises:
        InvalidRequest: tokens would be lost and request.truncation is off.
    """
    kept = ids if request.max_tokens_per_doc is None else ids[: request.max_tokens_per_doc]
    cut = chunk(
        kept.size,
        window_tokens=room,
        overlap_tokens=request.overlap_tokens,
        max_chunks=request.max_chunks_per_doc,
        right_align_last=rule == "jina",
    )
    is_cut = cut.truncated or kept.size < ids.size
    if is_cut and not request.truncation:
        limit = cut.spans[-1][1]
        raise InvalidRequest(
            f"documents[{index}] has {ids.size} tokens, but only {limit} would be read and "
            "truncation is off. Shorten it, raise max_chunks_per_doc or max_tokens_per_doc, or "
            "set truncation to true.",
            param="documents",
        )
    return CutDocument([kept[start:end] for start, end in cut.spans], is_cut, cut.spans)


def chunk_places(
    request: RerankRequest,
    encoder: TextEncoder,
    text: str,
    cut: CutDocument,
    check: Check,
    *,
    before: str = "",
) -> Sequence[Span]:
    """Which characters of a document each of its chunks has, if the request asks how it scored.

    () = each has all, or nobody asks.

    Args:
        request: that the document is of.
        encoder: that made its tokens.
        text: of the document, as the encoder got it.
        cut: the document as chunks.
        check: called between parts of a long text.
        before: what the encoder got before it.
    """
    if not request.explain or (len(cut.chunks) == 1 and not cut.is_cut):
        return ()
    return encoder.places(text, cut.spans, check, before=before)


def cut_warnings(request: RerankRequest, truncated: Collection[int]) -> tuple[str, ...]:
    """What the caller is told when documents were cut."""
    if not truncated:
        return ()
    warning = (
        f"{len(truncated)} of {len(request.documents)} documents were cut to what "
        "max_tokens_per_doc and max_chunks_per_doc allow."
    )
    return (warning,)
