"""From the logits of requests' rows to their rankings. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rerankd.core.answer import Hit, Ranking
from rerankd.core.rank import best_chunk, top_hits
from rerankd.core.request import RerankRequest
from rerankd.core.rows import Logits, Prepared
from rerankd.models.base import Model
from rerankd.service.tokenise import Tokenised
from rerankd.service.work import Scored


def rank_all(
    requests: Sequence[RerankRequest], found: Tokenised, scored: Scored, model: Model
) -> Sequence[Ranking]:
    """The rankings of requests that were tokenised, and scored, together."""
    rankings: list[Ranking] = []
    start = 0
    for request, prepared in zip(requests, found.prepared, strict=True):
        own = found.inverse[start : start + len(prepared.rows)]
        start += len(prepared.rows)
        cached_tokens = sum(scored.cached_tokens[place] for place in own)
        rankings.append(rank(request, prepared, scored.logits[own], model, cached_tokens))
    return rankings


def rank(
    request: RerankRequest, prepared: Prepared, logits: Logits, model: Model, cached_tokens: int = 0
) -> Ranking:
    """Logits (B, K) of a request's rows as its ranking: best chunk, then best document first."""
    per_row = model.logit(np.asarray(logits))
    documents = len(request.documents)
    best = best_chunk(per_row.tolist(), prepared.owners, documents)
    hits = [
        Hit(
            index,
            logit if request.raw_scores else model.relevance(logit),
            logit,
            index in prepared.truncated,
        )
        for index, logit in enumerate(best)
    ]
    return Ranking(
        model=model.card.name,
        hits=top_hits(hits, request.top_n),
        documents=documents,
        input_tokens=prepared.input_tokens,
        cached_tokens=cached_tokens,
        image_tokens=prepared.image_tokens,
        warnings=prepared.warnings,
    )
