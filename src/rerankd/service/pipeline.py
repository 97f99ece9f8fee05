"""One request from canonical form to ranking: check, prepare, charge, schedule, rank."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from rerankd.core.batch import distinct
from rerankd.core.errors import EngineFailed, InvalidRequest, RerankError, UnknownModel
from rerankd.core.meter import Meter
from rerankd.core.rank import best_chunk, top_hits
from rerankd.core.types import Content, Hit, Logits, Prepared, Ranking, RerankRequest, Row
from rerankd.models import catalog
from rerankd.models.base import Model, ModelCard
from rerankd.service.pool import Pool, Served
from rerankd.store.keys import Key
from rerankd.store.limits import RateLimits

_SMALL_BYTES = 65_536  # text of a request that is tokenised in a few milliseconds
_LANE = 2  # threads of each lane
_BYTES_PER_TOKEN = 4  # English; an estimate, settled by the tokenizer's exact count


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLimits:
    """How much one request may bring; the message of an error names the setting."""

    documents: int
    document_bytes: int
    query_bytes: int


@dataclass(slots=True, kw_only=True)
class Trace:
    """What is known of a request so far: filled on the way, read by the log and the metrics."""

    model: str = ""  # who answers
    documents: int = 0
    pairs: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0  # of input_tokens: known from before, to a cache or the engine
    prepare_s: float = 0.0
    queue_s: float = 0.0
    engine_s: float = 0.0

    def add(self, others: Sequence[Trace]) -> None:
        """Several rankings for one answer: counts add up, times run side by side."""
        for other in others:
            self.model = other.model or self.model
            self.documents += other.documents
            self.pairs += other.pairs
            self.input_tokens += other.input_tokens
            self.cached_tokens += other.cached_tokens
            self.prepare_s = max(self.prepare_s, other.prepare_s)
            self.queue_s = max(self.queue_s, other.queue_s)
            self.engine_s = max(self.engine_s, other.engine_s)


class Pipeline:
    """The service behind every dialect: a canonical request in, a ranking out."""

    def __init__(self, pool: Pool, limits: RequestLimits, rates: RateLimits) -> None:
        self.pool = pool
        self.limits = limits
        self.rates = rates
        # Two lanes: large requests wait for each other, never small ones for them.
        self._small = ThreadPoolExecutor(_LANE, thread_name_prefix="prepare-small")
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
        key.check_model(name, *([request.model] if request.model is not None else []))
        served = self.pool.get(name)
        with served.scheduler.hold():
            return await self._scored(request, served, key, trace)

    async def _scored(
        self, request: RerankRequest, served: Served, key: Key, trace: Trace
    ) -> Ranking:
        size = request_bytes(request)
        started = time.perf_counter()
        with served.scheduler.reserve(size // _BYTES_PER_TOKEN):
            prepared, rows, inverse = await self._prepared(request, served, size)
        trace.prepare_s = time.perf_counter() - started
        trace.pairs, trace.input_tokens = len(prepared.rows), prepared.input_tokens

        # Cached or not: what a key may send must not depend on what others asked before.
        self.rates.take_tokens(key, prepared.input_tokens)
        try:
            scored = await served.scheduler.submit(rows, key=key.name, priority=request.priority)
        except RerankError as error:
            if not isinstance(error, EngineFailed):
                self.rates.give_back_tokens(key, prepared.input_tokens)
            raise
        trace.queue_s, trace.engine_s = scored.queue_s, scored.engine_s
        trace.cached_tokens = sum(scored.cached_tokens[place] for place in inverse)
        ranking = rank(request, prepared, scored.logits[inverse], served.model)
        return replace(ranking, cached_tokens=trace.cached_tokens)

    async def _prepared(
        self, request: RerankRequest, served: Served, size: int
    ) -> tuple[Prepared, list[Row], list[int]]:
        """Tokenise on a thread; a caller that is cancelled stops it at its next document."""
        meter = Meter(served.scheduler.request_tokens)
        lane = self._small if size <= _SMALL_BYTES else self._large
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
            for content in (request.query, *request.documents):
                if content.modality != "text":
                    raise UnknownModel(f"{error} {_readers(content)}") from None
            raise

    def close(self) -> None:
        """Stop the threads that tokenise."""
        for lane in (self._small, self._large):
            lane.shutdown(wait=False, cancel_futures=True)


def request_bytes(request: RerankRequest) -> int:
    """About how many bytes of text the pairs of a request hold: the query counts in each."""
    documents = sum(len(document.value) for document in request.documents)
    return documents + len(request.query.value) * len(request.documents)


def check_limits(request: RerankRequest, limits: RequestLimits) -> None:
    """Refuse more or longer input than the operator allows.

    Raises:
        InvalidRequest: names the field, the limit, the setting and the way out.
    """
    if len(request.documents) > limits.documents:
        raise InvalidRequest(
            f"documents: {len(request.documents)} were sent; the limit is {limits.documents} "
            "(limits.documents). Send fewer, in several requests: scores do not depend on the "
            "other documents.",
            param="documents",
        )
    _check_bytes(request.query, "query", limits.query_bytes, "limits.query_bytes")
    for i, document in enumerate(request.documents):
        _check_bytes(document, f"documents[{i}]", limits.document_bytes, "limits.document_bytes")


def check_modalities(request: RerankRequest, card: ModelCard) -> None:
    """Refuse images and video that the model cannot read.

    Raises:
        InvalidRequest: names the field, and the models that could answer.
    """
    named = [("query", request.query)]
    named += [(f"documents[{i}]", document) for i, document in enumerate(request.documents)]
    for name, content in named:
        if content.modality not in card.modalities:
            raise InvalidRequest(
                f"{name}: is {_a(content.modality)}; {card.name} reads "
                f"{', '.join(sorted(card.modalities))} only. {_readers(content)}",
                param=name,
            )


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


def _check_bytes(content: Content, name: str, limit: int, setting: str) -> None:
    size = len(content.value) if content.value.isascii() else _utf8_bytes(content.value)
    if size > limit:
        raise InvalidRequest(
            f"{name}: {size} bytes of UTF-8; the limit is {limit} ({setting}). Send less, or "
            "split it.",
            param=name,
        )


def _utf8_bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _readers(content: Content) -> str:
    what = "images" if content.modality == "image" else content.modality
    return f"Models that read {what}: {', '.join(catalog.readers_of(content.modality))}."


def _a(modality: str) -> str:
    return "an image" if modality == "image" else f"a {modality}"
