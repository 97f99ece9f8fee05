"""A model family is prompting + which logits + how a score comes of them.

The engine below knows ids and logits only; the ranking above (core.rank) knows scores only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from rerankd.core.errors import StartError
from rerankd.core.explanation import Match, Span
from rerankd.core.media import VideoSampling
from rerankd.core.meter import Meter
from rerankd.core.rank import best_chunk
from rerankd.core.request import Modality, RerankRequest
from rerankd.core.rows import Logits, Prepared, Row, Scores
from rerankd.engines.base import Engine, ListwiseEngine, vectors_of
from rerankd.engines.kinds import is_a
from rerankd.models.activation import SIGMOID, Activation
from rerankd.models.families import Family


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """What is published or decided about a model: the recipe, not the weights."""

    name: str  # the name it is served under
    family: Family
    window_tokens: int | None  # longest row; None = no limit
    score: str  # one sentence: what relevance_score means
    activation: Activation = SIGMOID  # relevance_score of the logit
    query_prompt: str = ""  # the folder's own, before every query
    video: VideoSampling | None = None  # how it reads video; None = it does not
    named_by_catalog: bool = False  # a failed relevance probe then refuses the model
    ranks: bool = True  # whether it may be asked to: an embedder only if the operator says so
    revision: str = ""
    notes: tuple[str, ...] = ()  # what the operator should know of what was loaded

    @property
    def modalities(self) -> frozenset[Modality]:
        """What it reads."""
        return self.family.modalities


class Model(Protocol):
    """A loaded model: pure functions around one engine."""

    @property
    def card(self) -> ModelCard:
        """The recipe."""
        ...

    @property
    def engine(self) -> Engine:
        """What runs the rows; used by one thread at a time."""
        ...

    def prepare(self, request: RerankRequest, meter: Meter | None = None) -> Prepared:
        """Turn a request into token rows: template, special tokens, chunks. Thread-safe, CPU only.

        A text query is cut to max_tokens_per_query first, with a warning (query_warnings).

        Args:
            request: text, or whatever the card's modalities say.
            meter: told of every document's tokens as they are made, so that a request over its
                limit, or one that nobody waits for, stops early.

        Raises:
            Abandoned: the meter was cancelled.
            InvalidRequest: the query does not fit the window, or truncation is off and a
                document would be cut; the message names the field, the limit and the way out.
        """
        ...

    def logit(self, logits: Logits) -> Scores:
        """One number per row, shape (B, K) -> (B,): what the order is made by."""
        ...

    def relevance(self, logit: float) -> float:
        """The published score of a logit, monotone, in float64; as the card's activation says."""
        ...


@runtime_checkable
class ListwiseModel(Protocol):
    """A loaded model whose rows are lists of documents: a score depends on all that are asked for.

    Their order counts as well. Nothing of one request is good for another.
    """

    @property
    def card(self) -> ModelCard:
        """The recipe."""
        ...

    @property
    def engine(self) -> ListwiseEngine:
        """What runs the rows; used by one thread at a time."""
        ...

    def prepare(self, request: RerankRequest, meter: Meter | None = None) -> Prepared:
        """Turn a request into rows, each with the query and many documents; as Model.prepare()."""
        ...

    def document_scores(self, outputs: Sequence[Logits]) -> list[float]:
        """One number per document of a request, in order: what the ranking is made by.

        Args:
            outputs: what the engine gave of all rows of the request, in order, (V, d) each.
        """
        ...

    def relevance(self, logit: float) -> float:
        """The published score of such a number, monotone."""
        ...


AnyModel = Model | ListwiseModel


class Matcher(Protocol):
    """Of one query."""

    def __call__(self, row: Row, document: str, read: Span, /) -> Sequence[Match]:
        """What of both texts speaks for each other, by kind, best first; a few dozen at most.

        Blocks, for bounded time.

        Args:
            row: that the document scores as.
            document: as it was sent.
            read: the characters of it that the row has.
        """
        ...


@runtime_checkable
class Explaining(Protocol):
    """What a model has too if its scores are made of others that can be told."""

    def parts(self, output: Logits) -> Mapping[str, float]:
        """The named scores that one row's is made of, from what the engine gave of it, (K,)."""
        ...

    def matcher(self, query: str, check: Callable[[], None]) -> Matcher:
        """What finds which parts of documents speak for a query: the query is read once.

        Args:
            query: what was read of it.
            check: called between steps, also of each document; what it raises ends the reading.
        """
        ...


@runtime_checkable
class RemembersTexts(Protocol):
    """What a model has too if it keeps what it made of texts."""

    def prepare_known(self, request: RerankRequest, meter: Meter) -> Prepared | None:
        """As Model.prepare(), if all that is needed is kept: about 5 us a document.

        Returns:
            None: a tokenizer has to be asked.

        Raises:
            As Model.prepare().
        """
        ...


def remembering(model: AnyModel) -> RemembersTexts | None:
    """The model, if it keeps what it made of texts."""
    return model if is_a(model, RemembersTexts) else None


def is_listwise(model: AnyModel) -> bool:
    """Whether its rows are lists of documents."""
    return is_a(model, ListwiseModel)


def document_logits(
    model: AnyModel, prepared: Prepared, outputs: Sequence[Logits], documents: int
) -> list[float]:
    """One number per document of a request, in order: what the ranking is made by.

    Args:
        model: that made the rows.
        prepared: the request as rows.
        outputs: what the model's engine gave of each row.
        documents: how many the request has.
    """
    if is_a(model, ListwiseModel):
        return model.document_scores(outputs)
    per_row = model.logit(np.concatenate(outputs).reshape(len(outputs), -1))
    return best_chunk(per_row.tolist(), prepared.owners, documents)


def outputs_of(model: AnyModel, rows: Sequence[Row]) -> Sequence[Logits]:
    """What the model's engine gives of rows, all at once: of a few."""
    if is_a(model, ListwiseModel):
        return [vectors_of(row, model.engine) for row in rows]
    return list(model.engine.forward(rows))


def pointwise(model: AnyModel) -> Model:
    """A model whose scores depend on their own pair alone. Raises StartError if it is another."""
    if is_a(model, ListwiseModel):
        raise StartError(f"{model.card.name} is listwise: it scores lists, not pairs.")
    return model


def query_warnings(request: RerankRequest, *, is_cut: bool) -> tuple[str, ...]:
    """What the caller is told when the query was cut to max_tokens_per_query."""
    if not is_cut:
        return ()
    limit = request.max_tokens_per_query
    return (f"query: cut to its first {limit} tokens (max_tokens_per_query).",)


class RowCollector:
    """The rows of one request while they are made, document by document."""

    def __init__(self, meter: Meter | None) -> None:
        self._meter = meter or Meter()
        self._rows: list[Row] = []
        self._owners: list[int] = []
        self._spans: list[Span | None] = []
        self.truncated: set[int] = set()

    def check(self) -> None:
        """Stop here when nobody waits. Raises Abandoned."""
        self._meter.check()

    def add(
        self, index: int, rows: Sequence[Row], *, is_cut: bool, spans: Sequence[Span] = ()
    ) -> None:
        """All rows of documents[index], and which characters of it each has, if that is known.

        Raises:
            Abandoned, or InvalidRequest over the limit.
        """
        tokens = 0
        for row in rows:
            tokens += row.tokens
            self._rows.append(row)
            self._owners.append(index)
        self._spans += spans or [None] * len(rows)
        self._meter.add(tokens)
        if is_cut:
            self.truncated.add(index)

    def prepared(self, warnings: tuple[str, ...], *, query_end: int | None = None) -> Prepared:
        """The request as rows; query_end as Prepared's."""
        return Prepared(
            rows=tuple(self._rows),
            owners=tuple(self._owners),
            truncated=frozenset(self.truncated),
            warnings=warnings,
            spans=tuple(self._spans) if any(self._spans) else (),
            query_end=query_end,
        )
