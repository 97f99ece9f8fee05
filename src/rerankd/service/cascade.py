"""The rankings of one body: those with stages one after the other, the others together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rerankd.core.answer import Ranking
from rerankd.core.cascade import Cascade, in_whole_request, merged, passed_on
from rerankd.core.cost import known_sum
from rerankd.core.request import RerankRequest
from rerankd.service.admit import check_modalities, text_bytes
from rerankd.service.base import RerankCall
from rerankd.service.bodies import OfRequest, of_request
from rerankd.service.pipeline import Pipeline
from rerankd.service.pool import LoadedModel, Pool


async def rank_in_stages(
    call: RerankCall, cascade: Cascade, loaded: LoadedModel, pool: Pool, pipeline: Pipeline
) -> Sequence[Ranking]:
    """Rank the requests of a call; where the model would score all documents, it alone does.

    Raises:
        OfRequest: one of them is refused.
        Overloaded, DeadlineExceeded, EngineFailed; whatever call.charge raises.
    """
    requests = call.requests
    found: dict[int, Ranking] = {}
    for i, request in enumerate(requests):
        if len(request.documents) <= cascade.keep:
            continue
        try:
            found[i] = await _staged(request, cascade, loaded, call, pool, pipeline)
        except OfRequest as error:
            raise OfRequest(i, error.cause) from None
    alone = [i for i in range(len(requests)) if i not in found]
    if alone:
        try:
            ranked = await pipeline.rank([requests[i] for i in alone], loaded, call)
        except OfRequest as error:
            raise OfRequest(alone[error.index], error.cause) from None
        found |= dict(zip(alone, ranked, strict=True))
    return [found[i] for i in range(len(requests))]


async def _staged(
    request: RerankRequest,
    cascade: Cascade,
    loaded: LoadedModel,
    call: RerankCall,
    pool: Pool,
    pipeline: Pipeline,
) -> Ranking:
    """The first stage ranks all documents, the model its best; each with its own queue.

    The first stage reads whole documents: max_tokens_per_doc counts the model's tokens. So does
    max_tokens_per_query: the first stage cuts a query that the caller lets be cut only where it
    takes no more, and says so.
    """
    with of_request(0):  # the error is to name the model asked for
        check_modalities(request, loaded.model.card)
    first = pool.get(cascade.first)
    whole = replace(
        request,
        top_n=None,
        instruction=None,
        max_tokens_per_doc=None,
        max_tokens_per_query=None,
        truncation=True,
        truncate_query=request.truncate_query or request.max_tokens_per_query is not None,
    )
    share = text_bytes((request,), loaded.model.card) * cascade.keep // len(request.documents)
    # A full queue refuses before any work; a place once given is kept through the first stage.
    admission, until = loaded.scheduler.admission, call.trace.until
    place = admission.reserve_text(share, call.share, until)
    with place as ticket, first.scheduler.hold():
        (before,) = await pipeline.rank((whole,), first, call)
    places = passed_on(request, before.hits, cascade.keep)
    best = replace(request, top_n=None, documents=tuple(request.documents[i] for i in places))
    try:
        (ranking,) = await pipeline.rank((best,), loaded, call, ticket=ticket, is_checked=True)
    except OfRequest as error:
        raise OfRequest(0, in_whole_request(error.cause, places)) from None
    reranked = [replace(hit, index=places[hit.index]) for hit in ranking.hits]
    said = (_what_was_counted(before, ranking), *before.warnings, *ranking.warnings)
    return replace(
        ranking,
        hits=merged(reranked, before.hits, stage=cascade.first)[: request.top_n],
        documents=len(request.documents),
        input_tokens=known_sum(before.input_tokens, ranking.input_tokens),
        cached_tokens=before.cached_tokens + ranking.cached_tokens,
        warnings=tuple(dict.fromkeys(said)),
    )


def _what_was_counted(before: Ranking, ranking: Ranking) -> str:
    """What the caller is told of a cascade: who scored what, and whose tokens are counted."""
    others = (
        f"; the others come after them, in {before.model}'s order and with its score, at most the "
        "lowest of the scored ones"
    )
    return (
        f"{ranking.model} scored {ranking.documents} of {before.documents} documents, the best by "
        f"{before.model}{others if ranking.documents < before.documents else ''}. Tokens counted: "
        f"{before.input_tokens} terms of {before.model}, {ranking.input_tokens} tokens of "
        f"{ranking.model}."
    )
