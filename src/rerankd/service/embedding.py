"""One model's vectors of one request's texts: tokenise, schedule, shape."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import numpy as np

from rerankd.core.batch import distinct
from rerankd.core.cost import Cost
from rerankd.core.embedding import Embedded, EmbedRequest, check_dimensions, shaped
from rerankd.core.errors import InvalidRequest
from rerankd.core.meter import Meter
from rerankd.models.embedder import Embedder
from rerankd.service.admit import check_text_bytes
from rerankd.service.base import EmbedCall
from rerankd.service.pipeline import Pipeline
from rerankd.service.pool import LoadedModel


async def embed(call: EmbedCall, loaded: LoadedModel, pipeline: Pipeline) -> Embedded:
    """One model's vectors; counts and times are added to the call's trace.

    Raises:
        InvalidRequest: the model does not embed, or cannot embed this.
        Overloaded, DeadlineExceeded, EngineFailed; whatever call.charge raises.
    """
    request, trace, name = call.request, call.trace, loaded.model.card.name
    embedder = loaded.embedder
    if embedder is None:
        raise InvalidRequest(
            f"model: {name} scores documents and does not embed. GET /v1/models lists under "
            "`tasks` what each model does.",
            param="model",
        )
    is_unit = _length(request, embedder, name)
    check_dimensions(request.dimensions, embedder.dimensions, name)
    for i, text in enumerate(request.texts):
        check_text_bytes(text, request.name(i), pipeline.limits.document_bytes)
    size, started = sum(map(len, request.texts)), time.perf_counter()
    scheduler = loaded.scheduler
    with scheduler.admission.reserve_text(size, call.share, trace.until) as held:
        meter = Meter(scheduler.request_tokens, over=_over_limit(request.field))
        lane = pipeline.lanes.lane(size, has_media=False)
        try:
            found = await asyncio.get_running_loop().run_in_executor(
                lane, embedder.prepare_texts, request, meter
            )
        finally:
            meter.cancel()  # whoever is cancelled stops it at its next text
        rows, inverse = distinct(found.rows)
        tokens = found.input_tokens
        trace.cost += Cost(input_tokens=tokens, prepare_s=time.perf_counter() - started)
        trace.own_s += scheduler.admission.pace.seconds(sum(row.tokens for row in rows))
        await call.charge(tokens)
        trace.passed()
        scored = await scheduler.submit(
            rows,
            key=call.share,
            priority=request.priority,
            ticket=held,
            until=trace.until,
            scope=request.scope,
        )
    trace.cost += Cost(queue_s=scored.queue_s, engine_s=scored.engine_s)
    vectors = scored.logits.astype(np.float32, copy=False)[inverse]
    return Embedded(
        model=name,
        vectors=shaped(vectors, request.dimensions, is_unit=is_unit),
        input_tokens=tokens,
        warnings=found.warnings,
    )


def _length(request: EmbedRequest, embedder: Embedder, name: str) -> bool:
    """Whether the answer's vectors are brought to length 1. Raises InvalidRequest."""
    if request.is_unit is None:
        return embedder.is_unit
    if not request.is_unit and not embedder.gives_raw:
        raise InvalidRequest(
            f"normalize: vectors of {name} have length 1, always. Leave it out.", param="normalize"
        )
    return request.is_unit


def _over_limit(field: str) -> Callable[[int, int], InvalidRequest]:
    def over(tokens: int, limit: int) -> InvalidRequest:
        return InvalidRequest(
            f"{field}: {tokens} tokens or more in all; the limit is {limit} "
            "(limits.request_tokens). Send fewer or shorter texts.",
            param=field,
        )

    return over
