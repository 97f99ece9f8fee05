"""rerankd as a library: `FOLDER fp32|int8`, or `MODEL` that ships with it."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import worker

from rerankd import Reranker
from rerankd.core.options import LoadOptions
from rerankd.models.load import load as load_model
from rerankd.models.load import resolve


def load() -> worker.Score:
    """The model as the server would load it, self-check included."""
    model, *precision = sys.argv[1:]
    if precision:
        options = LoadOptions(quantization="int8" if precision == ["int8"] else None)
        reranker = Reranker.of(load_model(resolve(model, options)))
    else:
        reranker = Reranker(model)

    def score(query: str, documents: Sequence[str]) -> Sequence[float]:
        hits = reranker.rank(query, documents, raw_scores=True)
        return [hit.logit for hit in sorted(hits, key=lambda hit: hit.index)]

    return score


worker.run(load)
