"""From scores per row to a ranking: best chunk per document, best document first."""

from __future__ import annotations

from collections.abc import Sequence

from rerankd.core.answer import Hit


def best_chunk(scores: Sequence[float], owners: Sequence[int], documents: int) -> list[float]:
    """MaxP: a document scores as its best chunk.

    Args:
        scores: shape (C,), one logit per chunk, any scale, no NaN.
        owners: shape (C,), owners[c] = index of the document that chunk c came from.
        documents: how many documents there are; each owns at least one chunk.

    Returns:
        One logit per document, in document order.

    Raises:
        ValueError: lengths differ, or a document has no chunk.

    Source: Dai & Callan, SIGIR 2019, arXiv:1905.09217, MaxP.
    """
    best: list[float | None] = [None] * documents
    for score, owner in zip(scores, owners, strict=True):
        known = best[owner]
        if known is None or score > known:
            best[owner] = score
    missing = [i for i, score in enumerate(best) if score is None]
    if missing:
        raise ValueError(f"documents without a chunk: {missing}")
    return [score for score in best if score is not None]


def top_hits(hits: Sequence[Hit], top_n: int | None = None) -> tuple[Hit, ...]:
    """Best logit first, ties by lower index, the first `top_n` of them (None = all).

    The order is by logit, not by the calibrated score: a sigmoid saturates, and ties that it
    makes would destroy the order.
    """
    return tuple(sorted(hits, key=lambda hit: (-hit.logit, hit.index))[:top_n])
