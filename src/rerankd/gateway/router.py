"""Who may ask which model, and what it costs the key: between a dialect and a backend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rerankd.access.keys import Key
from rerankd.access.rates import RateLimits
from rerankd.core.answer import Ranking
from rerankd.core.cost import Cost
from rerankd.core.errors import EngineFailed, RerankError, UnknownModel, too_many
from rerankd.core.request import RerankRequest
from rerankd.gateway.routes import answering
from rerankd.service.admit import readers
from rerankd.service.base import Backend, RerankCall, Trace


class Router:
    """Finds the model of a request, asks whether its key may use it, and charges the key."""

    def __init__(self, backend: Backend, rates: RateLimits, *, documents: int) -> None:
        """`documents`: most of them in a body, all of its requests together."""
        self.rates = rates
        self.is_shared = True  # whether all keys use one memory of texts and scores
        self._backend = backend
        self._documents = documents

    async def rerank(
        self,
        requests: Sequence[RerankRequest],
        key: Key,
        trace: Trace,
        places: Sequence[Sequence[int]] = (),
    ) -> Sequence[Ranking]:
        """Rank the requests of one body, which name one model: one charge, one admission.

        Limits count all of their documents (pairs) and tokens together.

        Args:
            requests: at least one.
            key: who asks.
            trace: filled on the way.
            places: places[i][j] = how the body counts requests[i].documents[j]; () = as it is.

        Raises:
            InvalidRequest, UnknownModel, Forbidden, RateLimited, Overloaded, EngineFailed.
        """
        documents = sum(len(request.documents) for request in requests)
        trace.cost += Cost(documents=documents)
        if documents > self._documents:
            raise too_many(documents, self._documents)
        names, asked = self._backend.names, requests[0].model
        try:
            model = trace.model = answering(names, asked)
        except UnknownModel as error:
            raise _with_readers(error, requests[0]) from None
        trace.asked = asked or ""
        key.check_model(model, *([asked] if asked and names.is_served(asked) else []))
        if not self.is_shared:
            requests = [replace(request, scope=key.digest[:16]) for request in requests]
        charge = self.rates.charge(key)

        async def counted(tokens: int) -> None:
            charge.add(tokens)

        call = RerankCall(
            requests=requests,
            model=model,
            cascade=names.cascade(asked),
            places=places,
            share=key.name,
            charge=counted,
            trace=trace,
        )
        try:
            rankings = await self._backend.rerank(call)
        except RerankError as error:
            if not isinstance(error, EngineFailed):  # it may have worked for it: that is paid
                charge.give_back()
            raise
        if not names.is_stood_in_for(asked):
            return rankings
        said = f"model: the name asked for is not served; {model} answered for it (alias *)."
        return [replace(found, warnings=(said, *found.warnings)) for found in rankings]


def _with_readers(error: UnknownModel, request: RerankRequest) -> UnknownModel:
    """What is said of an unknown model, and who reads what else was sent."""
    for _, content in request.contents():
        if content.modality != "text":
            return UnknownModel(f"{error} {readers(content)}")
    return error
