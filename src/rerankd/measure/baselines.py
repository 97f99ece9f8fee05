"""Simple orders that a model is measured against: `rerankd eval --baseline`, `--features`."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Final, Literal

import numpy as np

from rerankd.core.request import Content, RerankRequest
from rerankd.core.rows import Row
from rerankd.engines.late_interaction import LateInteractionEngine, TextRow, text_row
from rerankd.engines.lexical import WORD, LexicalEngine, LexicalWeights
from rerankd.measure.metrics import Ranker
from rerankd.models.base import AnyModel
from rerankd.models.segment import term_id

Baseline = Literal[
    "random",
    "input-order",
    "whitespace-bm25",
    "whitespace-bm25-by-chance",
]
PLAIN: Final = LexicalWeights(coverage=0.0, phrase=0.0, average_terms=150.0)
SEEDS: Final = range(5)

NOTES: Final[Mapping[Baseline, str]] = {
    "random": f"the mean of {len(SEEDS)} seeded shuffles",
    "input-order": "the candidates as the first stage found them",
    "whitespace-bm25": (
        "lowercase, split at spaces, rerankd-lexical's IDF table, "
        f"k1 = {PLAIN.k1}, b = {PLAIN.b}; it finds nothing in Chinese and Japanese, and then "
        "measures as the input order"
    ),
    "whitespace-bm25-by-chance": "the same, ties decided by chance (seeded)",
}

FEATURE_NOTES: Final[Mapping[str, str]] = {
    "cosine": "the cosine of the mean-pooled vectors alone",
    "maxsim": "MaxSim of the token vectors alone, every query token alike",
}


def rankers(name: Baseline) -> Sequence[Ranker]:
    """The rankers of a baseline; of several, the mean of their values counts."""
    if name == "random":
        return [shuffled(seed) for seed in SEEDS]
    if name == "input-order":
        return [first_stage]
    baseline = whitespace(LexicalEngine(weights=PLAIN))
    return [baseline if name == "whitespace-bm25" else ties_by_chance(baseline)]


def shuffled(seed: int) -> Ranker:
    """A ranker that gives every list the order of a seeded generator."""
    draw = random.Random(seed)

    def rank(_: str, documents: Sequence[str]) -> Sequence[float]:
        return [draw.random() for _ in documents]

    return rank


def first_stage(_: str, documents: Sequence[str]) -> Sequence[float]:
    """The order in which the candidates came."""
    return [float(-i) for i in range(len(documents))]


def whitespace(engine: LexicalEngine) -> Ranker:
    """Plain BM25 over lowercase tokens between spaces."""

    def ids(text: str) -> list[int]:
        return [term_id(WORD, token) for token in text.lower().split()]

    def rank(query: str, documents: Sequence[str]) -> Sequence[float]:
        terms = ids(query)
        rows = [
            Row(ids=np.array(terms + ids(d) or [0], np.int32), second=len(terms)) for d in documents
        ]
        return [float(x) for x in engine.forward(rows)[:, 0]]

    return rank


def ties_by_chance(ranker: Ranker) -> Ranker:
    """The same scores, but equal ones in seeded random order instead of input order."""
    draw = random.Random(0)

    def rank(query: str, documents: Sequence[str]) -> Sequence[float]:
        return [score + 1e-9 * draw.random() for score in ranker(query, documents)]

    return rank


def features(model: AnyModel) -> Mapping[str, Ranker]:
    """What each encoder of a late-interaction model finds alone; empty for other models.

    Every pair is shown to every encoder, whichever of them the model would ask. Of a model with
    several, names begin with the encoder's: "e5 cosine".
    """
    engine = model.engine
    if not isinstance(engine, LateInteractionEngine):
        return {}
    encoders = list(engine.encoders)

    def alone(encoder: str, name: str) -> Ranker:
        column = engine.layout.index(f"{encoder}.{name}")
        sees = [each == encoder for each in encoders]

        def rank(query: str, documents: Sequence[str]) -> Sequence[float]:
            contents = tuple(Content(value=text) for text in documents)
            request = RerankRequest(query=Content(value=query), documents=contents)
            rows = [
                text_row(row.query, row.document, row.given, sees)
                for row in model.prepare(request).rows
                if isinstance(row, TextRow)
            ]
            return [float(x) for x in engine.forward(rows)[:, column]]

        return rank

    return {label: alone(*of) for label, of in feature_labels(encoders).items()}


def feature_labels(encoders: Sequence[str]) -> Mapping[str, tuple[str, str]]:
    """What features are called, and of which encoder each is: FEATURE_NOTES of every encoder."""
    return {
        f"{encoder} {name}" if len(encoders) > 1 else name: (encoder, name)
        for encoder in encoders
        for name in FEATURE_NOTES
    }
