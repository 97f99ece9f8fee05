"""An upstream's model behind a stage of this server: it scores the best documents only."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from rerankd.core.answer import Ranking
from rerankd.core.cascade import merged, passed_on
from rerankd.core.cost import known_sum
from rerankd.core.errors import EngineFailed, InvalidRequest, Overloaded
from rerankd.core.request import RerankRequest
from rerankd.gateway.failover import AttemptFailed
from rerankd.gateway.targets import RouteTarget
from rerankd.service.base import Backend, RerankCall, free_of_charge

Ask = Callable[[RerankRequest], Coroutine[Any, Any, Ranking]]


def ask_in_stages(backend: Backend, target: RouteTarget, call: RerankCall, ask_it: Ask) -> Ask:
    """What asks an upstream for one request, after the target's first stage if it has one.

    Args:
        backend: of the first stage.
        target: the target.
        call: whose share of the first stage's queue is used.
        ask_it: asks the upstream itself.
    """

    async def ask(request: RerankRequest) -> Ranking:
        first = target.first
        if first is None or len(request.documents) <= first.keep:
            return await ask_it(request)
        before = await _first(backend, whole(request), first.first, call)
        places = passed_on(request, before.hits, first.keep)
        best = replace(request, top_n=None, documents=tuple(request.documents[i] for i in places))
        found = await ask_it(best)
        reranked = [replace(hit, index=places[hit.index]) for hit in found.hits]
        said = (
            f"{target.model} scored {len(best.documents)} of {len(request.documents)} documents, "
            f"the best by {before.model}; the others come after them with its score, at most the "
            "lowest of the scored ones."
        )
        return replace(
            found,
            hits=merged(reranked, before.hits, stage=first.first),
            documents=len(request.documents),
            input_tokens=known_sum(before.input_tokens, found.input_tokens),
            warnings=(said, *found.warnings),
        )

    return ask


def whole(request: RerankRequest) -> RerankRequest:
    """A request for a model that reads whole documents and nothing else."""
    return replace(
        request,
        top_n=None,
        instruction=None,
        max_tokens_per_doc=None,
        max_tokens_per_query=None,
        truncation=True,
        truncate_query=True,
    )


async def _first(backend: Backend, request: RerankRequest, model: str, call: RerankCall) -> Ranking:
    """The first stage's ranking of all documents. Raises AttemptFailed."""
    stage = replace(
        call, requests=(request,), model=model, cascade=None, places=(), charge=free_of_charge
    )
    try:
        return (await backend.rerank(stage))[0]
    except InvalidRequest as error:
        raise AttemptFailed("over_limit", error=error) from error
    except Overloaded as error:
        raise AttemptFailed("busy", retry_after_s=error.retry_after_s, error=error) from error
    except EngineFailed as error:
        raise AttemptFailed("failed", error=error) from error
