"""Where a long document is cut into chunks: spans of token positions, pure arithmetic.

A document scores as its best chunk (core.rank); here only the spans are made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ChunkRule = Literal["bce", "jina"]  # "jina": the last chunk is right-aligned (chunk())


@dataclass(frozen=True, slots=True)
class Chunking:
    """Spans [start, end) of one document, in order; at least one, even for an empty document."""

    spans: tuple[tuple[int, int], ...]
    truncated: bool  # some tokens are in no span


def used_overlap(overlap_tokens: int, window_tokens: int) -> int:
    """Tokens that neighbouring chunks share: never over a quarter of the document window."""
    return min(overlap_tokens, window_tokens // 4)


def chunk_count(length: int, *, window_tokens: int, overlap_tokens: int) -> int:
    """How many chunks a document needs: 1 + ceil((L - W) / (W - O)), or 1 when it fits."""
    if length <= window_tokens:
        return 1
    stride = window_tokens - used_overlap(overlap_tokens, window_tokens)
    return 1 + -(-(length - window_tokens) // stride)


def chunk(
    length: int,
    *,
    window_tokens: int,
    overlap_tokens: int,
    max_chunks: int,
    right_align_last: bool = False,
) -> Chunking:
    """Cut a document of `length` tokens into overlapping windows.

    With W = window_tokens and O = min(overlap_tokens, W // 4), chunks start at 0, W - O,
    2 (W - O), ... and stop with the first that reaches the end.

    Args:
        length: L >= 0, tokens of the document alone.
        window_tokens: W >= 1, what the window leaves beside the query and the special tokens.
        overlap_tokens: what the caller asked for, >= 0.
        max_chunks: only the first so many count, >= 1; 1 means plain truncation.
        right_align_last: the last chunk is the last W tokens instead of a short rest.

    Returns:
        The spans; `truncated` when max_chunks left tokens uncovered.

    Raises:
        ValueError: an argument is out of its range.

    Source: BCEmbedding/models/utils.py (the rule); jina-reranker-v2 `rerank()` right-aligns.
    """
    if length < 0 or window_tokens < 1 or overlap_tokens < 0 or max_chunks < 1:
        raise ValueError(
            f"need length >= 0, window_tokens >= 1, overlap_tokens >= 0, max_chunks >= 1; "
            f"got {length}, {window_tokens}, {overlap_tokens}, {max_chunks}"
        )
    needed = chunk_count(length, window_tokens=window_tokens, overlap_tokens=overlap_tokens)
    kept = min(needed, max_chunks)
    stride = window_tokens - used_overlap(overlap_tokens, window_tokens)
    starts = [i * stride for i in range(kept)]
    if right_align_last and kept == needed and kept > 1:
        starts[-1] = length - window_tokens
    spans = tuple((start, min(start + window_tokens, length)) for start in starts)
    return Chunking(spans, truncated=kept < needed)
