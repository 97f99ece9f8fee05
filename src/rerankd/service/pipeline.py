"""One request from canonical form to ranking: check, prepare, charge, schedule, rank."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager
from dataclasses import dataclass, replace

import numpy as np

from rerankd.access.keys import Key
from rerankd.access.rates import Charge, RateLimits
from rerankd.core.answer import Hit, Ranking
from rerankd.core.batch import distinct
from rerankd.core.cascade import Cascade, in_whole_request, joined, kept
from rerankd.core.cost import NOTHING, Cost
from rerankd.core.errors import (
    EngineFailed,
    InvalidRequest,
    RerankError,
    UnknownModel,
    too_many,
)
from rerankd.core.meter import Meter
from rerankd.core.rank import best_chunk, top_hits
from rerankd.core.request import Content, RerankRequest
from rerankd.core.rows import Logits, Prepared, Row
from rerankd.media.loader import MediaLoader
from rerankd.models.base import Model
from rerankd.service.admission import Ticket
from rerankd.service.bodies import OfRequest, Together, in_body, of_request
from rerankd.service.checks import check_limits, check_modalities, readers
from rerankd.service.pool import LoadedModel, Pool
from rerankd.service.query_cut import prepared_of
from rerankd.service.scheduler import Scheduler
from rerankd.settings.schema import Limits

_SMALL_BYTES = 65_536  # text of a request that is tokenised in a few milliseconds
_LANE = 2  # threads of each lane
_MEDIA_BYTES = 4096  # of text that costs as much as an image or a video; an estimate as well


@dataclass(slots=True, kw_only=True)
class Trace:
    """What is known of a request so far: filled on the way, read by the log and the metrics."""

    asked: str = ""  # the model's name in the request
    model: str = ""  # who answers
    cost: Cost = NOTHING
    own_s: float = 0.0  # about how long its rows take when nothing else runs
    until: float | None = None  # its deadline, on time.monotonic()
    passed: Callable[[], None] = lambda: None  # called when it is queued, or waits for its images


class Pipeline:
    """The service behind every dialect: a canonical request in, a ranking out."""

    def __init__(
        self,
        pool: Pool,
        limits: Limits,
        rates: RateLimits,
        media: MediaLoader | None = None,
    ) -> None:
        """Media is what fetches and decodes; None = text only."""
        self.pool = pool
        self.media = media
        self.limits = limits
        self.rates = rates
        self.is_shared = True  # whether all keys use one memory of texts and scores
        # Two lanes: large requests wait for each other, never small ones for them.
        self.small = ThreadPoolExecutor(_LANE, thread_name_prefix="prepare-small")
        self._large = ThreadPoolExecutor(_LANE, thread_name_prefix="prepare-large")
        self.tokenizers = 2 * _LANE

    async def rerank(self, request: RerankRequest, key: Key, trace: Trace) -> Ranking:
        """Rank a request's documents.

        Raises:
            InvalidRequest, UnknownModel, Forbidden, RateLimited, Overloaded, EngineFailed.
        """
        return (await self.rerank_all((request,), key, trace))[0]

    async def rerank_all(
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
        asked = requests[0]
        documents = sum(len(request.documents) for request in requests)
        trace.cost += Cost(documents=documents)
        if documents > self.limits.documents:
            raise too_many(documents, self.limits.documents)
        name = self._answering(asked)
        trace.model = name
        named = asked.model
        trace.asked = named or ""
        key.check_model(name, *([named] if named and self.pool.is_served(named) else []))
        served = self.pool.get(name)
        cascade = self.pool.cascade(asked.model)
        charge = self.rates.charge(key)
        if not self.is_shared:
            requests = [replace(request, scope=key.digest[:16]) for request in requests]
        try:
            with served.scheduler.hold():
                rankings = await self._all(requests, served, cascade, charge, trace)
        except OfRequest as error:
            charge.give_back()
            raise in_body(error, places) from None
        except RerankError as error:
            if not isinstance(error, EngineFailed):  # it may have worked for it: that is paid
                charge.give_back()
            raise
        if not self.pool.is_stood_in_for(named):
            return rankings
        said = f"model: the name asked for is not served; {name} answered for it (alias *)."
        return [replace(found, warnings=(said, *found.warnings)) for found in rankings]

    async def _all(
        self,
        requests: Sequence[RerankRequest],
        served: LoadedModel,
        cascade: Cascade | None,
        charge: Charge,
        trace: Trace,
    ) -> Sequence[Ranking]:
        """Those with stages one after the other, the others together."""
        staged = [
            i
            for i, request in enumerate(requests)
            if cascade is not None and len(request.documents) > cascade.keep
        ]
        found: dict[int, Ranking] = {}
        for i in staged:
            assert cascade is not None  # noqa: S101 - what staged says
            try:
                found[i] = await self._cascaded(requests[i], served, cascade, charge, trace)
            except OfRequest as error:
                raise OfRequest(i, error.cause) from None
        alone = [i for i in range(len(requests)) if i not in found]
        if alone:
            try:
                scored = await self._scored([requests[i] for i in alone], served, charge, trace)
            except OfRequest as error:
                raise OfRequest(alone[error.index], error.cause) from None
            found |= dict(zip(alone, scored, strict=True))
        return [found[i] for i in range(len(requests))]

    async def _cascaded(
        self,
        request: RerankRequest,
        served: LoadedModel,
        cascade: Cascade,
        charge: Charge,
        trace: Trace,
    ) -> Ranking:
        """The first stage ranks all documents, the model its best; each with its own queue.

        The first stage reads whole documents: max_tokens_per_doc counts the model's tokens. So
        does max_tokens_per_query: the first stage cuts a query that the caller lets be cut only
        where it takes no more, and says so.
        """
        check_modalities(request, served.model.card)  # the error is to name the model asked for
        first, scheduler = self.pool.get(cascade.first), served.scheduler
        share = request_bytes(request) * cascade.keep // len(request.documents)
        whole = replace(
            request,
            top_n=None,
            instruction=None,
            max_tokens_per_doc=None,
            max_tokens_per_query=None,
            truncation=True,
            truncate_query=request.truncate_query or request.max_tokens_per_query is not None,
        )
        # A full queue refuses before any work; a place once given is kept through the first stage.
        with self._reserved(scheduler, share, charge, trace) as ticket, first.scheduler.hold():
            (before,) = await self._scored([whole], first, charge, trace)
        places = kept(request, before.hits, cascade.keep)
        best = replace(request, top_n=None, documents=tuple(request.documents[i] for i in places))
        try:
            (ranking,) = await self._scored([best], served, charge, trace, ticket)
        except OfRequest as error:
            raise OfRequest(0, in_whole_request(error.cause, places)) from None
        reranked = [replace(hit, index=places[hit.index]) for hit in ranking.hits]
        return replace(
            ranking,
            hits=joined(reranked, before.hits, stage=cascade.first)[: request.top_n],
            documents=len(request.documents),
            input_tokens=before.input_tokens + ranking.input_tokens,
            cached_tokens=before.cached_tokens + ranking.cached_tokens,
            warnings=tuple(
                dict.fromkeys((_said(before, ranking), *before.warnings, *ranking.warnings))
            ),
        )

    async def _scored(
        self,
        requests: Sequence[RerankRequest],
        served: LoadedModel,
        charge: Charge,
        trace: Trace,
        ticket: Ticket | None = None,
    ) -> Sequence[Ranking]:
        """One model's rankings; counts and times are added to what the trace holds."""
        async with self._seen(requests, served, charge, trace) as seen:
            return await self._scored_seen(seen, served, charge, trace, ticket)

    @staticmethod
    def _reserved(
        scheduler: Scheduler, size: int, charge: Charge, trace: Trace
    ) -> AbstractContextManager[Ticket]:
        """A place for about so many bytes of text; see Admission.reserve()."""
        admission = scheduler.admission
        tokens = admission.estimate(size)
        return admission.reserve(tokens, text_bytes=size, key=charge.key.name, until=trace.until)

    @asynccontextmanager
    async def _seen(
        self, requests: Sequence[RerankRequest], served: LoadedModel, charge: Charge, trace: Trace
    ) -> AsyncGenerator[Sequence[RerankRequest]]:
        """The requests with their images and videos decoded, until their answer is made.

        Only for a model that reads them, and only when its queue has room: a request that would be
        refused anyway causes no fetch.
        """
        unread = [
            (i, name)
            for i, request in enumerate(requests)
            for name, content in request.contents()
            if content.is_unread
        ]
        if not unread:
            yield requests
            return
        for i, request in enumerate(requests):
            with of_request(i):
                check_limits(request, self.limits)
                check_modalities(request, served.model.card)
        if self.media is None:
            i, name = unread[0]
            raise OfRequest(i, InvalidRequest(f"{name}: only texts are read here.", param=name))
        admission = served.scheduler.admission
        estimate = admission.estimate(sum(map(request_bytes, requests)))
        admission.check(estimate, key=charge.key.name, until=trace.until)
        trace.cost += Cost(media=len(unread))
        trace.passed()
        started = time.perf_counter()
        is_read = False
        whole = Together(requests)
        resolving = self.media.resolve(whole.request, served.model.card.video)
        try:
            async with whole.naming(), resolving as resolved:
                seconds, is_read = time.perf_counter() - started, True
                trace.cost += Cost(media_bytes=_media_bytes(resolved), media_s=seconds)
                yield whole.apart(resolved)
        except BaseException:
            if not is_read:
                trace.cost += Cost(media_s=time.perf_counter() - started)
            raise

    async def _scored_seen(
        self,
        requests: Sequence[RerankRequest],
        served: LoadedModel,
        charge: Charge,
        trace: Trace,
        ticket: Ticket | None,
    ) -> Sequence[Ranking]:
        size = sum(map(request_bytes, requests))
        started = time.perf_counter()
        scheduler = served.scheduler
        with ExitStack() as places:
            if ticket is None:
                reserved = self._reserved(scheduler, size, charge, trace)
                ticket = places.enter_context(reserved)
            all_prepared, rows, inverse = await self._prepared(requests, served, size)
        tokens = sum(prepared.input_tokens for prepared in all_prepared)
        trace.cost += Cost(
            pairs=len(inverse),
            input_tokens=tokens,
            prepare_s=time.perf_counter() - started,
        )
        trace.own_s += scheduler.admission.pace.seconds(sum(row.tokens for row in rows))

        # Cached or not: what a key may send must not depend on what others asked before.
        charge.add(tokens)
        trace.passed()
        scored = await scheduler.submit(
            rows,
            key=charge.key.name,
            priority=requests[0].priority,
            ticket=ticket,
            until=trace.until,
            scope=requests[0].scope,
        )
        trace.cost += Cost(queue_s=scored.queue_s, engine_s=scored.engine_s)
        rankings: list[Ranking] = []
        start = 0
        for request, prepared in zip(requests, all_prepared, strict=True):
            own = inverse[start : start + len(prepared.rows)]
            start += len(prepared.rows)
            cached_tokens = sum(scored.cached_tokens[place] for place in own)
            ranking = rank(request, prepared, scored.logits[own], served.model)
            rankings.append(replace(ranking, cached_tokens=cached_tokens))
        trace.cost += Cost(
            cached_tokens=sum(ranking.cached_tokens for ranking in rankings),
            image_tokens=sum(ranking.image_tokens for ranking in rankings),
        )
        return rankings

    async def _prepared(
        self, requests: Sequence[RerankRequest], served: LoadedModel, size: int
    ) -> tuple[Sequence[Prepared], list[Row], list[int]]:
        """Tokenise on a thread; a caller that is cancelled stops it at its next document."""
        meter = Meter(served.scheduler.request_tokens)
        is_small = size <= _SMALL_BYTES and not any(map(_media_bytes, requests))
        lane = self.small if is_small else self._large
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(lane, self._prepare, requests, served.model, meter)
        finally:
            meter.cancel()

    def _prepare(
        self, requests: Sequence[RerankRequest], model: Model, meter: Meter
    ) -> tuple[Sequence[Prepared], list[Row], list[int]]:
        """What costs CPU before the queue: on a thread, so that the event loop stays free."""
        all_prepared: list[Prepared] = []
        for i, request in enumerate(requests):
            with of_request(i):
                check_limits(request, self.limits)
                check_modalities(request, model.card)
                all_prepared.append(prepared_of(model, request, meter))
        return all_prepared, *distinct([row for found in all_prepared for row in found.rows])

    def _answering(self, request: RerankRequest) -> str:
        try:
            return self.pool.answering(request.model)
        except UnknownModel as error:
            for _, content in request.contents():
                if content.modality != "text":
                    raise UnknownModel(f"{error} {readers(content)}") from None
            raise

    def close(self) -> None:
        """Stop the threads that tokenise and decode."""
        for lane in (self.small, self._large):
            lane.shutdown(wait=False, cancel_futures=True)
        if self.media is not None:
            self.media.close()


def request_bytes(request: RerankRequest) -> int:
    """About how many bytes of text the pairs of a request hold: the query counts in each."""
    documents = sum(_text_bytes(document) for document in request.documents)
    return documents + _text_bytes(request.query) * len(request.documents)


def _text_bytes(content: Content) -> int:
    return len(content.value) if content.modality == "text" else _MEDIA_BYTES


def _media_bytes(request: RerankRequest) -> int:
    """Encoded bytes of a request's images and videos; equal ones are one object."""
    found = {id(content.media): content.media for _, content in request.contents()}
    return sum(media.encoded_bytes for media in found.values() if media is not None)


def rank(request: RerankRequest, prepared: Prepared, logits: Logits, model: Model) -> Ranking:
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
        image_tokens=prepared.image_tokens,
        warnings=prepared.warnings,
    )


def _said(before: Ranking, ranking: Ranking) -> str:
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
