"""Who may ask which model, and what it costs the key: between a dialect and a backend."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from rerankd.access.keys import Key
from rerankd.access.rates import RateLimits
from rerankd.accounts.account import Books
from rerankd.core.answer import Ranking, RouteFacts
from rerankd.core.cost import Cost
from rerankd.core.embedding import Embedded, EmbedRequest
from rerankd.core.errors import (
    EngineFailed,
    InvalidRequest,
    RerankError,
    UnknownModel,
    too_many,
    too_many_texts,
)
from rerankd.core.request import RerankRequest
from rerankd.gateway.bill import Bill, owners_of
from rerankd.gateway.routes import answering
from rerankd.gateway.switch import Asked, Switch
from rerankd.gateway.targets import NO_WISH, RoutedName, Wish, space_unavailable
from rerankd.service.admit import readers
from rerankd.service.base import Backend, EmbedCall, RerankCall, Trace


class Router:
    """Finds who answers a request, asks whether its key may use it, and charges the key."""

    def __init__(
        self,
        backend: Backend,
        rates: RateLimits,
        *,
        documents: int,
        switch: Switch | None = None,
    ) -> None:
        """No name is routed yet.

        Args:
            backend: the models of this server.
            rates: of the keys.
            documents: most of them in a body, all of its requests together.
            switch: answers for names that are routed; None = none ever is.
        """
        self.rates = rates
        self.is_shared = True  # whether all keys use one memory of texts and scores
        self.routes: Mapping[str, RoutedName] = {}
        self.books: Books | None = None  # None: there is no ledger, and nobody pays
        self._backend = backend
        self._switch = switch
        self._documents = documents

    async def rerank(
        self,
        requests: Sequence[RerankRequest],
        key: Key,
        trace: Trace,
        places: Sequence[Sequence[int]] = (),
        *,
        wish: Wish = NO_WISH,
    ) -> Sequence[Ranking]:
        """Rank the requests of one body, which name one model: one charge, one admission.

        Limits count all of their documents (pairs) and tokens together.

        Args:
            requests: at least one.
            key: who asks.
            trace: filled on the way.
            places: places[i][j] = how the body counts requests[i].documents[j]; () = as it is.
            wish: what the caller wants of who answers.

        Raises:
            InvalidRequest, UnknownModel, Forbidden, RateLimited, Overloaded, EngineFailed,
            SpaceUnavailable; for a routed name UpstreamFailed and DeadlineExceeded.
        """
        documents = sum(len(request.documents) for request in requests)
        trace.cost += Cost(documents=documents)
        if documents > self._documents:
            raise too_many(documents, self._documents)
        names, asked = self._backend.names, requests[0].model
        route = self.routes.get(names.models[0] if asked is None else asked)
        if route is None:
            try:
                model = self._answering(asked, key, trace)
            except UnknownModel as error:
                raise _with_readers(error, requests[0]) from None
            cascade = names.cascade(asked)
        else:
            model, cascade = route.name, None
            trace.asked = trace.model = route.name
            key.check_model(route.name)
        if not self.is_shared:
            requests = [replace(request, scope=key.holder) for request in requests]
        bill = self._opened(key, trace)
        call = RerankCall(
            requests=requests,
            model=model,
            cascade=cascade,
            places=places,
            share=key.name,
            charge=bill.counted,
            trace=trace,
        )
        with _given_back(bill):
            sizes = [len(request.documents) for request in requests]
            trace.stood_in = route is None and names.is_stood_in_for(asked)  # has no price now
            priced = model if trace.stood_in else asked or model
            await bill.begin(priced, "" if route else model, sizes)
            if route is not None and self._switch is not None:
                return await self._switch.rerank(
                    Asked(route=route, call=call, wish=wish, bill=bill)
                )
            facts = self._in_wanted_space(call, wish)
            rankings = await self._backend.rerank(call)
            bill.answered_here()
        if facts is not None:
            rankings = [replace(found, route=facts) for found in rankings]
        if not trace.stood_in:
            return rankings
        said = _stood_in(model)
        return [replace(found, warnings=(said, *found.warnings)) for found in rankings]

    async def embed(
        self, request: EmbedRequest, key: Key, trace: Trace, room: Callable[[int], None]
    ) -> Embedded:
        """Embed the texts of one body: one charge, one admission.

        Args:
            request: what to embed; its texts count as documents.
            key: who asks.
            trace: filled on the way.
            room: told, before any work, how many numbers the answer has; it may refuse.

        Raises:
            InvalidRequest, UnknownModel, Forbidden, RateLimited, Overloaded, EngineFailed.
        """
        texts = len(request.texts)
        trace.cost += Cost(documents=texts)
        if texts > self._documents:
            raise too_many_texts(texts, self._documents, request.field)
        names, asked = self._backend.names, request.model
        if asked is None:
            asked = next((n for n in names.models if self._backend.dimensions(n)), None)
        if asked in self.routes:
            raise InvalidRequest(
                f"model: {asked} is a routed name, and those rank only. Name a model of this "
                "server that embeds.",
                param="model",
            )
        model = self._answering(asked, key, trace)
        trace.asked = request.model or ""
        size = self._backend.dimensions(model)
        if size is not None:
            room(texts * min(size, request.dimensions or size))
        if not self.is_shared:
            request = replace(request, scope=key.holder)
        bill = self._opened(key, trace)
        trace.stood_in = names.is_stood_in_for(asked)
        call = EmbedCall(
            request=request, model=model, share=key.name, charge=bill.counted, trace=trace
        )
        with _given_back(bill):
            await bill.begin(model if trace.stood_in else asked or model, model, ())
            found = await self._backend.embed(call)
            bill.answered_here()
        if not trace.stood_in:
            return found
        return replace(found, warnings=(_stood_in(model), *found.warnings))

    def _opened(self, key: Key, trace: Trace) -> Bill:
        """What a request takes: nothing yet."""
        if self.books is not None:
            trace.account = self.books.open(owners_of(key), trace.at_us)
        return Bill(self.rates.charge(key), trace)

    def _answering(self, asked: str | None, key: Key, trace: Trace) -> str:
        """The model of a name that is not routed. Raises UnknownModel, Forbidden."""
        names = self._backend.names
        model = trace.model = answering(names, asked, self.routes)
        trace.asked = asked or ""
        key.check_model(model, *([asked] if asked and names.is_served(asked) else []))
        return model

    def _in_wanted_space(self, call: RerankCall, wish: Wish) -> RouteFacts | None:
        """Who answers for a name that is not routed, if the caller insists on a scale.

        Raises:
            SpaceUnavailable: it is another one.
        """
        if wish.space is None:
            return None
        space = self._backend.space(call.model)
        if wish.space not in (space, call.model):
            raise space_unavailable(wish.space, (space,))
        asked = call.requests[0].model or call.model
        return RouteFacts(route=asked, model=call.model, space=space)


@contextmanager
def _given_back(bill: Bill) -> Generator[None]:
    """The block takes nothing if it raises."""
    try:
        yield
    except RerankError as error:
        bill.give_back(has_worked=isinstance(error, EngineFailed))
        raise


def _stood_in(model: str) -> str:
    return f"model: the name asked for is not served; {model} answered for it (alias *)."


def _with_readers(error: UnknownModel, request: RerankRequest) -> UnknownModel:
    """What is said of an unknown model, and who reads what else was sent."""
    for _, content in request.contents():
        if content.modality != "text":
            return UnknownModel(f"{error} {readers(content)}")
    return error
