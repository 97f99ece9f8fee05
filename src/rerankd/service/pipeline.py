"""One request from canonical form to ranking: check, prepare, charge, schedule, rank."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager
from dataclasses import dataclass, replace

import numpy as np

from rerankd.core.batch import distinct
from rerankd.core.cascade import Cascade, in_whole_request, joined, kept
from rerankd.core.errors import EngineFailed, InvalidRequest, RerankError, UnknownModel
from rerankd.core.meter import Meter
from rerankd.core.rank import best_chunk, top_hits
from rerankd.core.types import Content, Hit, Logits, Prepared, Ranking, RerankRequest, Row
from rerankd.media.loader import MediaLoader
from rerankd.models.base import Model
from rerankd.service.admission import Ticket
from rerankd.service.checks import RequestLimits, check_limits, check_modalities, readers
from rerankd.service.pool import Pool, Served
from rerankd.service.scheduler import Scheduler
from rerankd.store.keys import Key
from rerankd.store.limits import Charge, RateLimits

_SMALL_BYTES = 65_536  # text of a request that is tokenised in a few milliseconds
_LANE = 2  # threads of each lane
_MEDIA_BYTES = 4096  # of text that costs as much as an image or a video; an estimate as well


@dataclass(slots=True, kw_only=True)
class Trace:
    """What is known of a request so far: filled on the way, read by the log and the metrics."""

    model: str = ""  # who answers
    documents: int = 0
    pairs: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0  # of input_tokens: known from before, to a cache or the engine
    media: int = 0  # images and videos, equal ones each counted
    media_bytes: int = 0  # of them, encoded, equal ones once
    media_s: float = 0.0  # until they were fetched and decoded
    prepare_s: float = 0.0
    queue_s: float = 0.0
    engine_s: float = 0.0
    until: float | None = None  # its deadline, on time.monotonic()

    def add(self, others: Sequence[Trace]) -> None:
        """Several rankings for one answer: counts add up, times run side by side."""
        for other in others:
            self.model = other.model or self.model
            self.documents += other.documents
            self.pairs += other.pairs
            self.input_tokens += other.input_tokens
            self.cached_tokens += other.cached_tokens
            self.media += other.media
            self.media_bytes += other.media_bytes
            self.media_s = max(self.media_s, other.media_s)
            self.prepare_s = max(self.prepare_s, other.prepare_s)
            self.queue_s = max(self.queue_s, other.queue_s)
            self.engine_s = max(self.engine_s, other.engine_s)


class Pipeline:
    """The service behind every dialect: a canonical request in, a ranking out."""

    def __init__(
        self,
        pool: Pool,
        limits: RequestLimits,
        rates: RateLimits,
        media: MediaLoader | None = None,
    ) -> None:
        """Media is what fetches and decodes; None = text only."""
        self.pool = pool
        self.media = media
        self.limits = limits
        self.rates = rates
        # Two lanes: large requests wait for each other, never small ones for them.
        self.small = ThreadPoolExecutor(_LANE, thread_name_prefix="prepare-small")
        self._large = ThreadPoolExecutor(_LANE, thread_name_prefix="prepare-large")
        self.tokenizers = 2 * _LANE

    async def rerank(self, request: RerankRequest, key: Key, trace: Trace) -> Ranking:
        """Rank a request's documents.

        Raises:
            InvalidRequest, UnknownModel, Forbidden, RateLimited, Overloaded, EngineFailed.
        """
        trace.documents = len(request.documents)
        name = self._answering(request)
        trace.model = name
        asked = request.model
        key.check_model(name, *([asked] if asked and self.pool.is_served(asked) else []))
        served = self.pool.get(name)
        cascade = self.pool.cascade(request.model)
        charge = self.rates.charge(key)
        try:
            with served.scheduler.hold():
                if cascade is None or len(request.documents) <= cascade.keep:
                    return await self._scored(request, served, charge, trace)
                return await self._cascaded(request, served, cascade, charge, trace)
        except RerankError as error:
            if not isinstance(error, EngineFailed):
                charge.give_back()
            raise

    async def _cascaded(
        self, request: RerankRequest, served: Served, cascade: Cascade, charge: Charge, trace: Trace
    ) -> Ranking:
        """The first stage ranks all documents, the model its best; each with its own queue.

        The first stage reads whole documents: max_tokens_per_doc counts the model's tokens.
        """
        check_modalities(request, served.model.card)  # the error is to name the model asked for
        first, scheduler = self.pool.get(cascade.first), served.scheduler
        share = request_bytes(request) * cascade.keep // len(request.documents)
        whole = replace(
            request, top_n=None, instruction=None, max_tokens_per_doc=None, truncation=True
        )
        # A full queue refuses before any work; a place once given is kept through the first stage.
        with self._reserved(scheduler, share, charge, trace) as ticket, first.scheduler.hold():
            before = await self._scored(whole, first, charge, trace)
        places = kept(request, before.hits, cascade.keep)
        best = replace(request, top_n=None, documents=tuple(request.documents[i] for i in places))
        try:
            ranking = await self._scored(best, served, charge, trace, ticket)
        except InvalidRequest as error:
            raise in_whole_request(error, places) from None
        reranked = [replace(hit, index=places[hit.index]) for hit in ranking.hits]
        return replace(
            ranking,
            hits=joined(reranked, before.hits, stage=cascade.first)[: request.top_n],
            documents=len(request.documents),
            input_tokens=before.input_tokens + ranking.input_tokens,
            cached_tokens=before.cached_tokens + ranking.cached_tokens,
            warnings=(_said(before, ranking), *ranking.warnings),
        )

    async def _scored(
        self,
        request: RerankRequest,
        served: Served,
        charge: Charge,
        trace: Trace,
        ticket: Ticket | None = None,
    ) -> Ranking:
        """One model's ranking; counts and times are added to what the trace holds."""
        async with self._seen(request, served, charge, trace) as seen:
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
        self, request: RerankRequest, served: Served, charge: Charge, trace: Trace
    ) -> AsyncGenerator[RerankRequest]:
        """The request with its images and videos decoded, until its answer is made.

        Only for a model that reads them, and only when its queue has room: a request that would be
        refused anyway causes no fetch.
        """
        unread = [name for name, content in request.contents() if content.is_unread]
        if not unread:
            yield request
            return
        check_limits(request, self.limits)
        check_modalities(request, served.model.card)
        if self.media is None:
            raise InvalidRequest(f"{unread[0]}: only texts are read here.", param=unread[0])
        admission = served.scheduler.admission
        estimate = admission.estimate(request_bytes(request))
        admission.check(estimate, key=charge.key.name, until=trace.until)
        trace.media += len(unread)
        started = time.perf_counter()
        try:
            async with self.media.resolve(request, served.model.card.video) as resolved:
                trace.media_s += time.perf_counter() - started
                trace.media_bytes += _media_bytes(resolved)
                yield resolved
        except BaseException:
            if not trace.media_bytes:
                trace.media_s += time.perf_counter() - started
            raise

    async def _scored_seen(
        self,
        request: RerankRequest,
        served: Served,
        charge: Charge,
        trace: Trace,
        ticket: Ticket | None,
    ) -> Ranking:
        size = request_bytes(request)
        started = time.perf_counter()
        scheduler = served.scheduler
        with ExitStack() as places:
            if ticket is None:
                reserved = self._reserved(scheduler, size, charge, trace)
                ticket = places.enter_context(reserved)
            prepared, rows, inverse = await self._prepared(request, served, size)
        trace.prepare_s += time.perf_counter() - started
        trace.pairs += len(prepared.rows)
        trace.input_tokens += prepared.input_tokens

        # Cached or not: what a key may send must not depend on what others asked before.
        charge.add(prepared.input_tokens)
        scored = await scheduler.submit(
            rows,
            key=charge.key.name,
            priority=request.priority,
            ticket=ticket,
            until=trace.until,
        )
        trace.queue_s += scored.queue_s
        trace.engine_s += scored.engine_s
        cached_tokens = sum(scored.cached_tokens[place] for place in inverse)
        trace.cached_tokens += cached_tokens
        ranking = rank(request, prepared, scored.logits[inverse], served.model)
        return replace(ranking, cached_tokens=cached_tokens)

    async def _prepared(
        self, request: RerankRequest, served: Served, size: int
    ) -> tuple[Prepared, list[Row], list[int]]:
        """Tokenise on a thread; a caller that is cancelled stops it at its next document."""
        meter = Meter(served.scheduler.request_tokens)
        is_small = size <= _SMALL_BYTES and not _media_bytes(request)
        lane = self.small if is_small else self._large
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(lane, self._prepare, request, served.model, meter)
        finally:
            meter.cancel()

    def _prepare(
        self, request: RerankRequest, model: Model, meter: Meter
    ) -> tuple[Prepared, list[Row], list[int]]:
        """What costs CPU before the queue: on a thread, so that the event loop stays free."""
        check_limits(request, self.limits)
        check_modalities(request, model.card)
        prepared = model.prepare(request, meter)
        return prepared, *distinct(prepared.rows)

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
