"""From the logits of requests' rows to their rankings. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rerankd.core.answer import Hit, Ranking
from rerankd.core.rank import top_hits
from rerankd.core.request import RerankRequest
from rerankd.core.rows import Logits, Prepared
from rerankd.models.base import AnyModel, document_logits, is_listwise
from rerankd.models.explain import explanations
from rerankd.models.text_parts import Check
from rerankd.service.tokenise import Tokenised
from rerankd.service.work import Scored


def _nothing() -> None:
    """No check."""


def rank_all(
    requests: Sequence[RerankRequest],
    found: Tokenised,
    scored: Scored,
    model: AnyModel,
    check: Check = _nothing,
) -> Sequence[Ranking]:
    """The rankings of requests that were tokenised, and scored, together; `check` as in rank()."""
    rankings: list[Ranking] = []
    start = 0
    for request, prepared in zip(requests, found.prepared, strict=True):
        own = found.inverse[start : start + len(prepared.rows)]
        start += len(prepared.rows)
        cached_tokens = sum(scored.cached_tokens[place] for place in own)
        outputs = [scored.outputs[place] for place in own]
        rankings.append(rank(request, prepared, outputs, model, check, cached_tokens))
    return rankings


def rank(
    request: RerankRequest,
    prepared: Prepared,
    outputs: Sequence[Logits],
    model: AnyModel,
    check: Check = _nothing,
    cached_tokens: int = 0,
) -> Ranking:
    """What came of each of a request's rows as its ranking: best document first.

    `check` is called while scores are explained: what it raises ends that.
    """
    documents = len(request.documents)
    found = document_logits(model, prepared, outputs, documents)
    hits = [
        Hit(
            index,
            logit if request.raw_scores else model.relevance(logit),
            logit,
            index in prepared.truncated,
        )
        for index, logit in enumerate(found)
    ]
    best = top_hits(hits, request.top_n)
    if request.explain:
        wanted = [hit.index for hit in best]
        told = explanations(model, request, prepared, outputs, wanted, check)
        best = tuple(replace(hit, explained=told[hit.index]) for hit in best)
    return Ranking(
        model=model.card.name,
        hits=best,
        documents=documents,
        input_tokens=prepared.input_tokens,
        cached_tokens=cached_tokens,
        image_tokens=prepared.image_tokens,
        is_listwise=is_listwise(model),
        warnings=prepared.warnings,
    )
