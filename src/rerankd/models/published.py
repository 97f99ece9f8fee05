"""Scores that others print: what a catalog model must give before it is served.

A wrong tokenizer, head, template or weight file changes them by whole logits; rounding does not.
Figures are from two kinds of places, with the precision that they were computed in: the publisher's
own page, and the test suite of sentence-transformers, whose maintainers ran the published weights
in bf16 (tests/cross_encoder/test_pretrained.py, commit cad2119), ColBERT models in fp32
(tests/multi_vec_encoder, the same commit; they had their figures from PyLate). None were found for
bce.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from rerankd.core.errors import StartError
from rerankd.core.request import Content, RerankRequest
from rerankd.models.base import AnyModel, document_logits, outputs_of

# "maxsim" is the sum, whatever the operator makes of it: the first number of a ColBERT engine's.
Scale = Literal["logit", "relevance", "maxsim"]

# What an engine's own rounding may add, in logits. Chosen, not measured on these models: several
# times what halves and bytes do to the logits of small ones, and far below a wrong template.
ROUNDING: Final[Mapping[str, float]] = {"fp32": 0.0, "fp16": 0.1, "bf16": 0.5}
COARSEST: Final = 1.0  # int8, and whatever else
_STEEPEST: Final = 0.25  # change of a sigmoid per logit, at most


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One pair of a model card."""

    query: str
    document: str
    score: float  # as printed
    scale: Scale
    tolerance: float  # on that scale: of the precision that the card's figure was computed in
    source: str

    def allowed(self, precision: str) -> float:
        """How far the score of an engine of that precision may be off."""
        rounding = ROUNDING.get(precision, COARSEST)
        return self.tolerance + rounding * (_STEEPEST if self.scale == "relevance" else 1.0)


@dataclass(frozen=True, slots=True)
class Checked:
    """An example and our score, on its scale; None: the window set for the model would cut it."""

    example: Example
    score: float | None


def check_examples(model: AnyModel, examples: Sequence[Example]) -> tuple[Checked, ...]:
    """Score what the model card printed.

    Raises:
        StartError: a score is further off than the example's tolerance and the engine's rounding.
    """
    checked = tuple(Checked(example, _score(model, example)) for example in examples)
    wrong = [each for each in checked if not _is_met(each, model.engine.info.precision)]
    if wrong:
        example, score = wrong[0].example, wrong[0].score
        raise StartError(
            f"{model.card.name}: {len(wrong)} of {len(checked)} scores are not those that its "
            f"model card prints or sentence-transformers' tests expect: {score:.4f} "
            f"instead of {example.score:.4f} "
            f"(± {example.allowed(model.engine.info.precision):g}, {example.scale}) for query "
            f"{example.query!r} and document {example.document!r}, by {example.source}. The "
            "weights or the tokenizer are not those of this model."
        )
    return checked


def _is_met(checked: Checked, precision: str) -> bool:
    """Whether the score is near enough, or could not be had; a NaN is not near."""
    if checked.score is None:
        return True
    return abs(checked.score - checked.example.score) <= checked.example.allowed(precision)


def _score(model: AnyModel, example: Example) -> float | None:
    prepared = model.prepare(
        RerankRequest(
            query=Content(value=example.query),
            documents=(Content(value=example.document),),
            max_chunks_per_doc=1,
        )
    )
    if prepared.truncated:
        return None
    outputs = outputs_of(model, prepared.rows)
    if example.scale == "maxsim":
        return float(outputs[0][0])
    logit = document_logits(model, prepared, outputs, 1)[0]
    return logit if example.scale == "logit" else model.relevance(logit)


def _examples(
    query: str,
    documents: Mapping[str, float],
    *,
    scale: Scale = "logit",
    tolerance: float,
    source: str,
) -> tuple[Example, ...]:
    return tuple(
        Example(
            query=query,
            document=document,
            score=score,
            scale=scale,
            tolerance=tolerance,
            source=source,
        )
        for document, score in documents.items()
    )


_BGE_M3 = "https://huggingface.co/BAAI/bge-reranker-v2-m3 (fp16)"
_GTE = "https://huggingface.co/Alibaba-NLP/gte-reranker-modernbert-base (fp16)"
_ZERANK = "https://huggingface.co/zeroentropy/zerank-2, README of d713204 (bf16)"
_JINA = "https://huggingface.co/jinaai/jina-reranker-v2-base-multilingual (bf16)"
_GTE_MULTILINGUAL = "https://huggingface.co/Alibaba-NLP/gte-multilingual-reranker-base (fp16)"
_TEI = "https://github.com/huggingface/text-embeddings-inference, its test of the model (fp32)"
_FASTEMBED = "https://github.com/qdrant/fastembed, its test of the model (fp32)"
_MS_MARCO = "https://huggingface.co/cross-encoder/"
_ETTIN = "https://huggingface.co/cross-encoder/ettin-reranker-32m-v1"
_APPLE = (
    "Apple Inc. was founded in Cupertino, California in 1976 by Steve Jobs, Steve Wozniak, and "
    "Ronald Wayne."
)
_FUJI = (
    "The Fuji apple is an apple cultivar developed in the late 1930s and brought to market in 1962."
)
_PANDA = (
    "The giant panda (Ailuropoda melanoleuca), sometimes called a panda bear or simply panda, is a "
    "bear species endemic to China."
)
_BERLIN = (
    "Berlin had a population of 3,520,031 registered inhabitants in an area of 891.82 square "
    "kilometers."
)
_MUSEUMS = "Berlin is well known for its museums."
_BERLIN_QUERY = "How many people live in Berlin?"
_FRANCE_QUERY = "What is the capital of France?"
_PARIS = "Paris is the capital of France."
_GERMANY = "Berlin is the capital of Germany."

_SUITE: Final = "https://github.com/huggingface/sentence-transformers, its test of the model (bf16)"
_MULTI_VECTOR_SUITE: Final = (
    "https://github.com/huggingface/sentence-transformers, its multi-vector test (fp32)"
)
_PLANET_QUERY: Final = "Which planet is known as the Red Planet?"
_PLANETS: Final = (
    "Venus is often called Earth's twin because of its similar size and proximity.",
    "Mars, known for its reddish appearance, is often referred to as the Red Planet.",
    "Jupiter, the largest planet in our solar system, has a prominent red spot.",
    "Saturn, famous for its rings, is sometimes mistaken for the Red Planet.",
)
_CARDS: Final[Mapping[str, tuple[Example, ...]]] = {
    "BAAI/bge-reranker-v2-m3": (
        *_examples("query", {"passage": -5.65234375}, tolerance=0.1, source=_BGE_M3),
        *_examples(
            "what is panda?", {"hi": -8.1875, _PANDA: 5.26171875}, tolerance=0.1, source=_BGE_M3
        ),
    ),
    "cross-encoder/ms-marco-MiniLM-L6-v2": _examples(
        _BERLIN_QUERY,
        {_BERLIN: 8.607138, _MUSEUMS: -4.320078},
        tolerance=0.01,
        source=f"{_MS_MARCO}ms-marco-MiniLM-L6-v2",
    ),
    "cross-encoder/ms-marco-MiniLM-L2-v2": _examples(
        _BERLIN_QUERY,
        {_BERLIN: 8.510401, _MUSEUMS: -4.860082},
        tolerance=0.01,
        source=f"{_MS_MARCO}ms-marco-MiniLM-L2-v2",
    ),
    "Alibaba-NLP/gte-reranker-modernbert-base": (
        *_examples(
            "what is the capital of China?", {"Beijing": 2.1387}, tolerance=0.1, source=_GTE
        ),
        *_examples(
            "how to implement quick sort in python?",
            {"Introduction of quick sort": 2.4609, "The weather is nice today": -1.6729},
            tolerance=0.1,
            source=_GTE,
        ),
    ),
    "zeroentropy/zerank-2": _examples(
        "What is 2+2?",
        {"4": 0.7531883, "The answer is definitely 1 million": 0.28894895},
        scale="relevance",
        tolerance=0.05,
        source=_ZERANK,
    ),
    "jinaai/jina-reranker-v2-base-multilingual": _examples(
        "Organic skincare products for sensitive skin",
        {
            "Organic skincare for sensitive skin with aloe vera and chamomile.": 0.8311430811882019,
            "New makeup trends focus on bold colors and innovative techniques": 0.09401018172502518,
            "Bio-Hautpflege für empfindliche Haut mit Aloe Vera und Kamille": 0.6334102749824524,
            "针对敏感肌专门设计的天然有机护肤产品": 0.9263036847114563,
            "新的化妆趋势注重鲜艳的颜色和创新的技巧": 0.05834583938121796,
        },
        scale="relevance",
        tolerance=0.05,
        source=_JINA,
    ),
    "jinaai/jina-reranker-v1-tiny-en": _examples(
        _FRANCE_QUERY,
        {_PARIS: 2.5911, _GERMANY: 0.1122},
        tolerance=0.01,
        source=_FASTEMBED,
    ),
    "jinaai/jina-reranker-v1-turbo-en": _examples(
        _FRANCE_QUERY,
        {_PARIS: 1.8295, _GERMANY: -2.8908},
        tolerance=0.01,
        source=_FASTEMBED,
    ),
    "cross-encoder/ettin-reranker-32m-v1": (
        *_examples(
            "Where was Apple founded?",
            {_APPLE: 11.393298, _FUJI: 2.968891},
            tolerance=0.05,
            source=_ETTIN,
        ),
        *_examples(
            _PLANET_QUERY,
            dict(zip(_PLANETS, (6.21, 10.82, 8.55, 9.86), strict=True)),
            tolerance=0.05,
            source=_ETTIN,
        ),
    ),
    "Alibaba-NLP/gte-multilingual-reranker-base": (
        *_examples("中国的首都在哪儿", {"北京": 1.2315}, tolerance=0.1, source=_GTE_MULTILINGUAL),
        *_examples(
            "what is the capital of China?",
            {"北京": 0.5923},
            tolerance=0.1,
            source=_GTE_MULTILINGUAL,
        ),
        *_examples(
            "how to implement quick sort in python?",
            {"Introduction of quick sort": 0.3041},
            tolerance=0.1,
            source=_GTE_MULTILINGUAL,
        ),
        *_examples(
            "What is Deep Learning?",
            {"Deep Learning is not...": -0.74173266},
            tolerance=0.01,
            source=_TEI,
        ),
    ),
}

_SUITE_TOLERANCE: Final = 0.01  # what the suite itself allows, between machines in bf16
# What bf16 may have added to a logit; chosen, and less where the four scores lie close together.
_BF16: Final = ROUNDING["bf16"]
_BF16_OF: Final[Mapping[str, float]] = {
    "BAAI/bge-reranker-large": 0.25,
    "ibm-granite/granite-embedding-reranker-english-r2": 0.2,
}
# of _PLANETS, in their order
_RELEVANCES: Final[Mapping[str, tuple[float, float, float, float]]] = {
    "BAAI/bge-reranker-base": (0.87891, 0.99609, 0.99609, 0.05029),
    "BAAI/bge-reranker-large": (0.69922, 1.0, 0.97266, 0.81641),
    "BAAI/bge-reranker-v2-m3": (0.01855, 1.0, 0.78906, 0.98828),
    "Alibaba-NLP/gte-reranker-modernbert-base": (0.80859, 0.95312, 0.875, 0.91797),
    "Alibaba-NLP/gte-multilingual-reranker-base": (0.38672, 0.85156, 0.70312, 0.65234),
    "mixedbread-ai/mxbai-rerank-xsmall-v1": (0.21484, 0.9375, 0.57031, 0.72656),
    "mixedbread-ai/mxbai-rerank-base-v1": (0.05176, 0.96875, 0.71484, 0.16895),
    "mixedbread-ai/mxbai-rerank-large-v1": (0.00711, 0.99219, 0.80469, 0.3418),
    "jinaai/jina-reranker-v2-base-multilingual": (0.23633, 0.71484, 0.50391, 0.31055),
    "jinaai/jina-reranker-v1-tiny-en": (0.53516, 0.92969, 0.87891, 0.88672),
    "jinaai/jina-reranker-v1-turbo-en": (0.27148, 0.82422, 0.64844, 0.68359),
    "ibm-granite/granite-embedding-reranker-english-r2": (0.78906, 0.96484, 0.89062, 0.94141),
    "cross-encoder/ms-marco-electra-base": (3e-05, 0.92969, 0.78906, 0.80469),
    "cl-nagoya/ruri-v3-reranker-310m": (0.00035, 0.99609, 0.00247, 0.27539),
}
_LOGITS: Final[Mapping[str, tuple[float, float, float, float]]] = {
    "cross-encoder/ms-marco-MiniLM-L12-v2": (-7.15625, 9.5, 5.71875, 6.84375),
    "cross-encoder/ms-marco-MiniLM-L6-v2": (-6.53125, 9.6875, 6.90625, 6.6875),
    "cross-encoder/ms-marco-MiniLM-L4-v2": (-7.875, 9.0, 5.6875, 6.65625),
    "cross-encoder/ms-marco-MiniLM-L2-v2": (-10.25, 9.8125, 7.9375, 8.3125),
    "cross-encoder/ms-marco-TinyBERT-L2-v2": (-10.875, 7.0, 5.875, 5.6875),
    "cross-encoder/mmarco-mMiniLMv2-L12-H384-v1": (-3.28125, 10.1875, 3.4375, 7.46875),
}


# of _PLANETS; the suite allows a thousandth
_MAX_SIMS: Final[Mapping[str, tuple[float, float, float, float]]] = {
    "lightonai/LateOn": (10.79417, 11.11042, 10.97427, 11.08107),
    "lightonai/mLateOn": (11.3486, 11.5170, 11.4391, 11.4867),
    "lightonai/GTE-ModernColBERT-v1": (11.25772, 11.51133, 11.34575, 11.4518),
    "lightonai/Reason-ModernColBERT": (9.05118, 10.18419, 9.12381, 9.39101),
    "answerdotai/answerai-colbert-small-v1": (30.56916, 31.48954, 31.30291, 31.30716),
    "colbert-ir/colbertv2.0": (12.79703, 27.19449, 23.8495, 24.56564),
    "mixedbread-ai/mxbai-edge-colbert-v0-17m": (11.56932, 11.75844, 11.70989, 11.72288),
}


def _of_the_multi_vector_suite(name: str) -> tuple[Example, ...]:
    """What sentence-transformers' own tests expect of a ColBERT model."""
    found: list[Example] = []
    for document, score in zip(_PLANETS, _MAX_SIMS[name], strict=True):
        found += _examples(
            _PLANET_QUERY,
            {document: score},
            scale="maxsim",
            tolerance=1e-3 * score,
            source=_MULTI_VECTOR_SUITE,
        )
    return tuple(found)


def _of_the_suite(name: str) -> tuple[Example, ...]:
    """What sentence-transformers' own tests expect of a model.

    A relevance of 1.0 is left out: in bf16 that is anything above 0.998.
    """
    scale: Scale = "logit" if name in _LOGITS else "relevance"
    found: list[Example] = []
    for document, score in zip(_PLANETS, _LOGITS.get(name) or _RELEVANCES[name], strict=True):
        steepness = 1.0 if scale == "logit" else score * (1.0 - score)
        if steepness > 0.0:
            found += _examples(
                _PLANET_QUERY,
                {document: score},
                scale=scale,
                tolerance=_SUITE_TOLERANCE + steepness * _BF16_OF.get(name, _BF16),
                source=_SUITE,
            )
    return tuple(found)


_TESTED: Final = (*_RELEVANCES, *_LOGITS)
PUBLISHED: Final[Mapping[str, tuple[Example, ...]]] = {
    name: _CARDS.get(name, ()) + (_of_the_suite(name) if name in _TESTED else ())
    for name in dict.fromkeys((*_CARDS, *_TESTED))
} | {name: _of_the_multi_vector_suite(name) for name in _MAX_SIMS}
