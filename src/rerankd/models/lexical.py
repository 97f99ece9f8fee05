"""`rerankd-lexical`: the scorer that is always there, in every language, without a download."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from rerankd.core.errors import InvalidRequest, QueryTooLong
from rerankd.core.explanation import Match, Span
from rerankd.core.meter import Meter
from rerankd.core.request import RerankRequest
from rerankd.core.rows import Logits, Prepared, Row, Scores, TokenIds
from rerankd.core.score import sigmoid
from rerankd.engines.base import Engine
from rerankd.engines.lexical import NOTHING, IdfTable, LexicalEngine
from rerankd.models.base import Matcher, ModelCard, query_warnings
from rerankd.models.families import LEXICAL
from rerankd.models.segment import Segmenter, terms_end
from rerankd.models.text_parts import Check
from rerankd.models.word_matches import QueryWords

MAX_QUERY_TERMS: Final = 8192  # every row repeats the query: bounds rows x query in memory

# Logistic regression over the training pairs, printed by training/calibrate_lexical.py.
SLOPE: Final = 6.13
INTERCEPT: Final = -3.08

CARD: Final = ModelCard(
    name="rerankd-lexical",
    family=LEXICAL,
    window_tokens=None,
    score=(
        "Probability that the passage was written for the query rather than one of its closest "
        "or a random other passage, half and half, judged by shared words and phrases only."
    ),
    revision="1",
)


class LexicalModel:
    """Segmentation, BM25 with a shipped IDF table, one row per document, calibrated.

    A whole document is one row: BM25 discounts length itself, and the best of several windows
    (MaxP) gained nothing clear on long documents (builtin/lexical/CARD.md).
    """

    def __init__(self, engine: Engine | None = None) -> None:
        self._engine: Engine = LexicalEngine() if engine is None else engine
        self._segmenter = Segmenter()

    @property
    def card(self) -> ModelCard:
        """CARD."""
        return CARD

    @property
    def engine(self) -> Engine:
        """The BM25 behind this model."""
        return self._engine

    def prepare(self, request: RerankRequest, meter: Meter | None = None) -> Prepared:
        """One row per document: query terms, then document terms. Thread-safe.

        A token is a term of models.segment: a word counts two (word and stem). max_chunks_per_doc
        and overlap_tokens do nothing, as there are no chunks.

        Raises:
            InvalidRequest: truncation is off and a document has more than max_tokens_per_doc
                terms; or the query has more than MAX_QUERY_TERMS.
        """
        meter = meter or Meter()
        warnings: list[str] = []
        if request.instruction is not None:
            warnings.append(f"{CARD.name} has no place for an instruction; it was ignored.")
        asked = self._segmenter.ids(request.query.value)
        query = asked[: request.max_tokens_per_query]
        warnings += query_warnings(request, is_cut=query.size < asked.size)
        if query.size > MAX_QUERY_TERMS:
            raise QueryTooLong(
                f"query has {query.size} terms; {CARD.name} takes at most {MAX_QUERY_TERMS}. "
                "Shorten the query.",
                tokens=query.size,
                limit=MAX_QUERY_TERMS,
            )
        rows: list[Row] = []
        truncated: set[int] = set()
        spans: list[Span | None] = []
        limit = request.max_tokens_per_doc
        for i, document in enumerate(request.documents):
            terms = self._segmenter.ids(document.value, meter.check)
            span = None
            if limit is not None and terms.size > limit:
                if not request.truncation:
                    raise InvalidRequest(
                        f"documents[{i}] has {terms.size} tokens; max_tokens_per_doc is {limit}. "
                        "Shorten it, raise max_tokens_per_doc, or set truncation=true.",
                        param=f"documents[{i}]",
                    )
                terms = terms[:limit]
                truncated.add(i)
                if request.explain:
                    span = 0, terms_end(self._segmenter, document.value, limit, meter.check)
            spans.append(span)
            rows.append(_row(query, terms))
            meter.add(rows[-1].tokens)
        return Prepared(
            rows=tuple(rows),
            owners=tuple(range(len(rows))),
            truncated=frozenset(truncated),
            warnings=tuple(warnings),
            spans=tuple(spans) if any(spans) else (),
            query_end=self._query_end(request, meter.check) if query.size < asked.size else None,
        )

    def _query_end(self, request: RerankRequest, check: Check) -> int | None:
        """As Prepared.query_end, of a query that is cut, if the request asks for explanations."""
        most = request.max_tokens_per_query
        if most is None or not request.explain:
            return None
        return terms_end(self._segmenter, request.query.value, most, check)

    def logit(self, logits: Logits) -> Scores:
        """Log-odds of the card's probability, shape (B, 1) -> (B,); INTERCEPT: nothing shared."""
        return SLOPE * logits[:, 0].astype(np.float64) + INTERCEPT

    def relevance(self, logit: float) -> float:
        """The logistic function of the log-odds, in (0, 1)."""
        return sigmoid(logit)

    def parts(self, output: Logits) -> Mapping[str, float]:
        """The one number that the engine gives, before it is calibrated."""
        return {"bm25": float(output[0])}

    def matcher(self, query: str, check: Check) -> Matcher:
        """Words that both texts have."""
        words = QueryWords(self._segmenter, IdfTable.shipped(), query, check)

        def matches(_: Row, document: str, read: Span) -> Sequence[Match]:
            return words.matches(document[: read[1]])  # the row's terms have no places

        return matches


def _row(query: TokenIds, document: TokenIds) -> Row:
    ids = np.concatenate((query, document))
    if ids.size == 0:
        ids = np.array([NOTHING], dtype=np.int32)
    return Row(ids=ids, second=int(query.size))
