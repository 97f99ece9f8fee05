"""How the score of each document came about, from the rows that were scored anyway."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np

from rerankd.core.explanation import Explanation, Match, ScoredChunk, SeenImage, Span
from rerankd.core.request import RerankRequest
from rerankd.core.rows import Logits, Prepared, Row
from rerankd.engines.kinds import is_a
from rerankd.models.base import AnyModel, Explaining, ListwiseModel, Matcher
from rerankd.models.text_parts import Check


class _Winner(NamedTuple):
    """The chunk that a document scores as."""

    document: int
    chunk: int  # of the document's
    row: Row
    output: Logits


def explanations(
    model: AnyModel,
    request: RerankRequest,
    prepared: Prepared,
    outputs: Sequence[Logits],
    wanted: Collection[int],
    check: Check,
) -> dict[int, Explanation]:
    """By index, of documents of a request. Blocks: a text is looked at again.

    Args:
        model: that made the rows.
        request: with texts, images and videos as they were sent.
        prepared: the request as rows.
        outputs: what the model's engine gave of each row.
        wanted: indexes of the documents.
        check: called between steps; what it raises ends the reading.
    """
    if is_a(model, ListwiseModel):
        scores = model.document_scores(outputs)
        return {i: Explanation(chunks=(_whole(request, i, scores[i]),)) for i in wanted}
    logits: list[float] = model.logit(np.stack(outputs)).tolist()
    rows: dict[int, list[int]] = {}
    for row, owner in enumerate(prepared.owners):
        rows.setdefault(owner, []).append(row)
    matcher = None
    if is_a(model, Explaining) and request.query.modality == "text":
        matcher = model.matcher(request.query.value[: prepared.query_end], check)
    found: dict[int, Explanation] = {}
    for index in wanted:
        own = rows[index]
        best = max(own, key=lambda row: (logits[row], -row))
        chunks = tuple(
            ScoredChunk(
                span=_span(request, prepared, index, row),
                tokens=prepared.rows[row].tokens,
                logit=logits[row],
                won=row == best,
                image=_image(request, index, prepared.rows[row]),
            )
            for row in own
        )
        check()
        winner = _Winner(index, own.index(best), prepared.rows[best], outputs[best])
        found[index] = _explained(model, request, prepared, chunks, winner, matcher)
    return found


def _explained(
    model: AnyModel,
    request: RerankRequest,
    prepared: Prepared,
    chunks: tuple[ScoredChunk, ...],
    winner: _Winner,
    matcher: Matcher | None,
) -> Explanation:
    ends = [chunk.span[1] for chunk in chunks if chunk.span is not None]
    cut_at = max(ends) if winner.document in prepared.truncated and ends else None
    if not is_a(model, Explaining):
        return Explanation(chunks=chunks, cut_at=cut_at)
    document, read = request.documents[winner.document], chunks[winner.chunk].span
    matches: Sequence[Match] = ()
    if read is not None and matcher is not None:
        matches = matcher(winner.row, document.value, read)
    return Explanation(
        chunks=chunks, cut_at=cut_at, parts=model.parts(winner.output), matches=tuple(matches)
    )


def _span(request: RerankRequest, prepared: Prepared, index: int, row: int) -> Span | None:
    """Which characters of its document a row has; of an image none."""
    document = request.documents[index]
    if document.modality != "text":
        return None
    span = prepared.spans[row] if prepared.spans else None
    return span or (0, len(document.value))


def _image(request: RerankRequest, index: int, row: Row) -> SeenImage | None:
    """What was made of an image; in its row it stands behind those of the query."""
    if request.documents[index].modality != "image":
        return None
    visual = row.visuals[-1].visual
    _, height, width, _ = visual.frames.shape
    return SeenImage(width=width, height=height, tokens=visual.tokens)


def _whole(request: RerankRequest, index: int, logit: float) -> ScoredChunk:
    document = request.documents[index]
    span = (0, len(document.value)) if document.modality == "text" else None
    return ScoredChunk(span=span, tokens=None, logit=logit, won=True)
