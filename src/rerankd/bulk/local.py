"""Scores windows with a model of this process: one thread makes token rows, one runs the engine.

What comes of a window depends on the window alone: the engine gets its rows in an order and in
batches that follow from their lengths, so that a job that was killed and goes on writes the bytes
that it would have written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeAlias

from rerankd.bulk.groups import Answer
from rerankd.bulk.rows import WindowLimits
from rerankd.core.batch import distinct
from rerankd.core.errors import EngineFailed, InvalidRequest, RerankError
from rerankd.core.meter import Meter
from rerankd.core.request import RerankRequest
from rerankd.core.rows import Logits, Prepared, Row
from rerankd.engines.base import AnyEngine, ListwiseEngine, Remembering, vectors_of
from rerankd.engines.kinds import is_a
from rerankd.models.base import AnyModel
from rerankd.service.admit import check_modalities
from rerankd.service.engine_calls import run
from rerankd.service.query_cut import prepared_of
from rerankd.service.ranking import rank
from rerankd.service.work import checked

_Made: TypeAlias = tuple[RerankRequest, Prepared] | RerankError  # a request as rows


_WINDOW_BATCHES: Final = 16  # enough to sort by length, and a few seconds of work
_CHARACTERS_PER_TOKEN: Final = 4


def window_limits(engine: AnyEngine) -> WindowLimits:
    """How large windows are for an engine; what was begun with others keeps them."""
    tokens = _WINDOW_BATCHES * engine.info.batch_tokens
    most = WindowLimits()
    return WindowLimits(characters=min(most.characters, tokens * _CHARACTERS_PER_TOKEN))


class LocalScorer:
    """Answers of a loaded model; the model is closed by whoever opened it."""

    def __init__(self, model: AnyModel) -> None:
        self.model = model
        self.ahead = 2  # windows at once: one is made ready while another runs
        self.most_pairs = 1024
        self._prepare = ThreadPoolExecutor(1, thread_name_prefix="bulk-prepare")
        self._engine = ThreadPoolExecutor(1, thread_name_prefix="bulk-engine")

    def begin(self, requests: Sequence[RerankRequest]) -> Future[Sequence[Answer]]:
        """Score requests; what is begun first is done first."""
        made = self._prepare.submit(self._made, requests)
        return self._engine.submit(lambda: answers_of(self.model, made.result()))

    def close(self) -> None:
        """Give up what has not begun, and wait for what has."""
        for pool in (self._engine, self._prepare):
            pool.shutdown(cancel_futures=True)

    def _made(self, requests: Sequence[RerankRequest]) -> list[_Made]:
        return [made_of(self.model, request) for request in requests]


def made_of(model: AnyModel, request: RerankRequest) -> _Made:
    """A request as rows, or why there are none."""
    try:
        check_modalities(request, model.card)
        return request, prepared_of(model, request, Meter())
    except InvalidRequest as error:
        return error


def answers_of(model: AnyModel, made: Sequence[_Made]) -> list[Answer]:
    """One answer for each request; the engine fails for those alone whose rows it cannot run."""
    ready = [each for each in made if not isinstance(each, RerankError)]
    outputs = iter(_outputs([prepared.rows for _, prepared in ready], model.engine))
    found: list[Answer] = []
    for each in made:
        if isinstance(each, RerankError):
            found.append(each)
            continue
        own = next(outputs)
        found.append(own if isinstance(own, RerankError) else rank(*each, own, model))
    return found


def _outputs(
    requests: Sequence[Sequence[Row]], engine: AnyEngine
) -> list[list[Logits] | RerankError]:
    """What comes of the rows of each request; equal rows run once."""
    rows, inverse = distinct([row for own in requests for row in own])
    logits: list[Logits | RerankError] = [EngineFailed("never run")] * len(rows)
    for batch in batches(rows, engine):
        for i, output in zip(batch, _run([rows[i] for i in batch], engine), strict=True):
            logits[i] = output
    places, found = iter(inverse), list[list[Logits] | RerankError]()
    for own in requests:
        outputs: list[Logits] = []
        failed: RerankError | None = None
        for place in (next(places) for _ in own):
            output = logits[place]
            if isinstance(output, RerankError):
                failed = output
            else:
                outputs.append(output)
        found.append(failed or outputs)
    return found


def batches(rows: Sequence[Row], engine: AnyEngine) -> Iterator[list[int]]:
    """Places of rows that run together, longest first; of what is remembered by text, in order."""
    if is_a(engine, ListwiseEngine):
        yield from ([i] for i in range(len(rows)))
        return
    order: Sequence[int] = range(len(rows))
    if not is_a(engine, Remembering):
        order = sorted(order, key=lambda i: -rows[i].tokens)
    batch, used = list[int](), 0
    for i in order:
        if batch and used + rows[i].tokens > engine.info.batch_tokens:
            yield batch
            batch, used = [], 0
        batch.append(i)
        used += rows[i].tokens
    if batch:
        yield batch


def _run(rows: Sequence[Row], engine: AnyEngine) -> Sequence[Logits | RerankError]:
    """What comes of a batch; one that fails is run again row by row."""
    try:
        if is_a(engine, ListwiseEngine):
            return checked([vectors_of(row, engine) for row in rows])
        return run(rows, engine)[0]
    except Exception as error:  # noqa: BLE001 - whatever a device raises: no row was answered
        if len(rows) == 1:
            failed = EngineFailed(f"The engine failed: {error}")
            failed.__cause__ = error
            return [failed]
    return [output for row in rows for output in _run([row], engine)]
