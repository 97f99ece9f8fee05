"""rerankd as a library: the same models and ranking, without a server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from rerankd.core.answer import Hit, Ranking
from rerankd.core.batch import distinct
from rerankd.core.errors import InvalidRequest
from rerankd.core.options import LoadOptions
from rerankd.core.request import Content, RerankRequest
from rerankd.core.rows import Logits, Row
from rerankd.engines.base import Engine, ListwiseEngine, vectors_of
from rerankd.models import catalog
from rerankd.models.load import Loaded, load, resolve
from rerankd.service.ranking import rank
from rerankd.service.work import checked

Step = Callable[[int, int], None]  # told of every batch: rows that are scored, of how many


class Reranker:
    """Ranks documents in this process.

    >>> from rerankd import Reranker
    >>> hits = Reranker().rank("capital of France", ["Berlin is in Germany.", "Paris, France"])
    >>> hits[0].index
    1
    """

    def __init__(self, model: str | None = None, *, window_tokens: int | None = None) -> None:
        """Load a model.

        Args:
            model: a catalog name or a checkpoint folder; None = the default.
            window_tokens: longest row; None = the model card's.

        Raises:
            StartError: it cannot be found or loaded; the message says what to do.
        """
        self.adopt(
            load(resolve(model or catalog.DEFAULT, LoadOptions(window_tokens=window_tokens)))
        )

    @classmethod
    def of(cls, loaded: Loaded) -> Self:
        """Around a model that was loaded by other means; close() frees it."""
        made = cls.__new__(cls)
        made.adopt(loaded)
        return made

    def adopt(self, loaded: Loaded) -> None:
        """Answer with this model from now on; the one before is not closed."""
        self.model = loaded.model
        self.warnings = loaded.warnings

    def rank(
        self,
        query: str,
        documents: str | Sequence[str],
        *,
        top_n: int | None = None,
        instruction: str | None = None,
        raw_scores: bool = False,
        step: Step = lambda _, __: None,
    ) -> tuple[Hit, ...]:
        """The documents' hits, best first, ties by lower index; `hit.index` points into documents.

        Args:
            query: what is searched for.
            documents: what is ranked; one string is one document.
            top_n: at least 1; None = all.
            instruction: for models with a place for one.
            raw_scores: True = `hit.score` is the logit.
            step: told how far it is.

        Raises:
            InvalidRequest: top_n is below 1, a document is not a string, or the query is over the
                model's window.
            EngineFailed: the engine could not answer.
        """
        if isinstance(documents, str):
            documents = [documents]
        if top_n is not None and top_n < 1:
            raise InvalidRequest(f"top_n is {top_n}; at least 1, or None.", param="top_n")
        for i, document in enumerate(documents):
            if not isinstance(document, str):  # pyright: ignore[reportUnnecessaryIsInstance] - callers
                kind = type(document).__name__
                raise InvalidRequest(f"documents[{i}] is a {kind}, not a str.", param="documents")
        if not documents:
            return ()
        request = RerankRequest(
            query=Content(value=query),
            documents=tuple(Content(value=document) for document in documents),
            top_n=top_n,
            instruction=instruction,
            raw_scores=raw_scores,
        )
        return self.rerank(request, step).hits

    def rerank(self, request: RerankRequest, step: Step = lambda _, __: None) -> Ranking:
        """As rank, for a canonical request, with exact token counts and warnings."""
        prepared = self.model.prepare(request)
        rows, inverse = distinct(prepared.rows)
        engine = self.model.engine
        if isinstance(engine, ListwiseEngine):
            outputs = checked(_listwise(rows, engine, step))
        else:
            outputs = checked(_batched(rows, engine, step))
        own = [outputs[place] for place in inverse]
        return rank(request, prepared, own, self.model, lambda: None)

    def close(self) -> None:
        """Free the engine."""
        self.model.engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()


def _batched(rows: Sequence[Row], engine: Engine, step: Step) -> list[Logits]:
    """The logits (K,) of all rows, in batches of the engine's size."""
    outputs: list[Logits] = []
    batch: list[Row] = []
    used, budget = 0, engine.info.batch_tokens
    step(0, len(rows))
    for done, row in enumerate(rows):
        if batch and used + row.tokens > budget:
            outputs += list(engine.forward(batch))
            step(done, len(rows))
            batch, used = [], 0
        batch.append(row)
        used += row.tokens
    outputs += list(engine.forward(batch))
    step(len(rows), len(rows))
    return outputs


def _listwise(rows: Sequence[Row], engine: ListwiseEngine, step: Step) -> list[Logits]:
    """The vectors (V, d) of all rows."""
    outputs: list[Logits] = []
    for done, row in enumerate(rows):
        step(done, len(rows))
        outputs.append(vectors_of(row, engine))
    step(len(rows), len(rows))
    return outputs
