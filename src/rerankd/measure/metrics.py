"""How good an order of documents is: nDCG@k, MRR@k, MAP, recall@k.

`measure` needs the extra `rerankd[eval]`; `ndcg` does not, and a test holds that both say the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rerankd.extras import library
from rerankd.measure.collection import Collection, Grades, Qrels, Run, answerable

Vector = npt.NDArray[np.float64]  # (Q,), one value per query
Ranker = Callable[[str, Sequence[str]], Sequence[float]]  # query, documents (B,) -> scores (B,)


def measure(qrels: Qrels, run: Run, k: int = 10) -> dict[str, Vector]:
    """nDCG@k, MRR@k, MAP and recall@k of each query, in [0, 1], by ir_measures.

    Queries are the qrels' that have a relevant document, in their order; one that the run does not
    have counts 0, and what the run has besides is not looked at. Grades above 0 are relevant; only
    nDCG looks at how large they are (linear gain). Documents that nobody judged are not relevant.

    Source: MacAvaney, Macdonald & Ounis, Streamlining Evaluation with ir-measures, ECIR 2022
    (trec_eval for nDCG, AP and R; the official MS MARCO script for RR).

    Raises:
        StartError: ir_measures is not installed.
    """
    ir: Any = library("ir_measures")
    named = {
        f"nDCG@{k}": ir.nDCG @ k,
        f"MRR@{k}": ir.RR @ k,
        "MAP": ir.AP,
        f"recall@{k}": ir.R @ k,
    }
    judged = {
        query: {document: max(grade, 0) for document, grade in grades.items()}
        for query, grades in qrels.items()
        if answerable(grades)
    }
    # Falling whole numbers, so that no scorer's own rule for ties can change the order.
    ranked = {
        query: {document: float(-rank) for rank, document in enumerate(documents)}
        for query, documents in run.items()
        if query in judged and documents
    }
    place = {query: i for i, query in enumerate(judged)}
    values = {name: np.zeros(len(judged)) for name in named}
    names = {wanted: name for name, wanted in named.items()}
    if ranked:
        for metric in ir.iter_calc(list(named.values()), judged, ranked):
            values[names[metric.measure]][place[metric.query_id]] = metric.value
    return values


def rerank_scored(
    collection: Collection, rank: Ranker
) -> Iterator[tuple[str, list[tuple[str, float]]]]:
    """Every query and its candidates with scores, best first; ties keep the candidates' order."""
    for qid, candidates in collection.candidates.items():
        texts = [collection.documents[document] for document in candidates]
        scores = rank(collection.queries[qid], texts)
        yield qid, [(candidates[i], scores[i]) for i in order(scores)]


def rerank(collection: Collection, rank: Ranker) -> dict[str, list[str]]:
    """The candidates of every query, as `rank` orders them; ties keep the candidates' order."""
    return {
        qid: [document for document, _ in ranked] for qid, ranked in rerank_scored(collection, rank)
    }


def ndcg(ranked: Sequence[str], grades: Grades, k: int = 10) -> float:
    """nDCG@k of one query, in [0, 1].

    As trec_eval's ndcg_cut and ir_measures' nDCG: linear gain (the grade itself, not 2^g - 1),
    discount 1 / log2(rank + 1), and the ideal taken over all judged documents, so a relevant
    document that the first stage missed costs too. 0 when nothing is relevant.

    Source: Järvelin & Kekäläinen, ACM TOIS 20(4), 2002, doi:10.1145/582415.582418.
    """
    ideal = _dcg(sorted(grades.values(), reverse=True)[:k])
    return _dcg([grades.get(document, 0) for document in ranked[:k]]) / ideal if ideal else 0.0


def order(scores: Sequence[float]) -> list[int]:
    """Indexes by falling score, ties by lower index, as the server ranks."""
    return sorted(range(len(scores)), key=lambda i: (-scores[i], i))


def mean_ndcg(collection: Collection, rank: Ranker, k: int = 10) -> float:
    """Mean nDCG@k, in [0, 1], over all queries with a relevant document and candidates."""
    values = [ndcg(ids, collection.qrels[qid], k) for qid, ids in rerank(collection, rank).items()]
    return float(np.mean(values)) if values else 0.0


def _dcg(gains: Sequence[int]) -> float:
    gain = np.maximum(np.asarray(gains, dtype=np.float64), 0.0)
    return float(np.sum(gain / np.log2(np.arange(2, gain.size + 2))))
