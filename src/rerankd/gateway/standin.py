"""An answer when every target failed, marked as degraded: order by words, or as it was sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rerankd.core.answer import Hit, Ranking, RouteFacts
from rerankd.core.errors import RerankError
from rerankd.core.request import RerankRequest
from rerankd.gateway.stages import whole
from rerankd.gateway.targets import LEXICAL, RoutedName
from rerankd.service.base import Backend, RerankCall, free_of_charge


async def stand_in(
    backend: Backend, route: RoutedName, call: RerankCall, error: RerankError, attempts: int
) -> Sequence[Ranking]:
    """What the route's when_all_fail says, for the requests of a call.

    Raises:
        RerankError: `error`, when the stand-in fails as well.
    """
    if route.when_all_fail == LEXICAL:
        requests = [replace(whole(r), top_n=r.top_n) for r in call.requests]
        standing = replace(
            call, requests=requests, model=LEXICAL, cascade=None, charge=free_of_charge
        )
        try:
            rankings = await backend.rerank(standing)
        except RerankError as failed:
            raise error from failed
        model, space = LEXICAL, backend.space(LEXICAL)
    else:
        rankings = [as_sent(request) for request in call.requests]
        model = space = "input-order"
    call.trace.model = model
    facts = RouteFacts(
        route=route.name,
        model=model,
        space=space,
        attempts=attempts,
        degraded=route.when_all_fail or "",
    )
    call.trace.route = facts
    said = f"degraded: nobody could answer for this model now; {_HOW[model]}."
    return [replace(r, route=facts, warnings=(said, *r.warnings)) for r in rankings]


_HOW = {
    LEXICAL: f"{LEXICAL} ranked by words, on a scale of its own",
    "input-order": "the documents are in the order in which they were sent, and the scores say "
    "nothing else",
}


def as_sent(request: RerankRequest) -> Ranking:
    """The documents as they came, with scores that fall from 1 by equal steps."""
    count = len(request.documents)
    hits = (Hit(i, 1 - i / count, 1 - i / count) for i in range(count))
    return Ranking(
        model="input-order",
        hits=tuple(hits)[: request.top_n],
        documents=count,
        input_tokens=0,
    )
