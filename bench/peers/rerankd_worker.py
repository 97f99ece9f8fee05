"""rerankd as a library: `FOLDER fp32|bf16|int8`, or `MODEL` that ships with it.

Runs with an earlier checkout's rerankd too, at least back to 1f9211a.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Any

import worker

from rerankd import Reranker
from rerankd.models.load import load as load_model
from rerankd.models.load import resolve


def options(precision: str) -> Any:
    """LoadOptions that say so, in the words of the rerankd that runs."""
    known: Any = importlib.import_module("rerankd.core.options")
    if precision == "fp32":
        return known.LoadOptions()
    if hasattr(known.LoadOptions, "precision"):
        return known.LoadOptions(precision=precision)
    return known.LoadOptions(engine=known.EngineOptions(quantization=precision))


def load() -> worker.Score:
    """The model as the server would load it, self-check included."""
    model, *precision = sys.argv[1:]
    if precision:
        reranker = Reranker.of(load_model(resolve(model, options(precision[0]))))
    else:
        reranker = Reranker(model)

    def score(query: str, documents: Sequence[str]) -> Sequence[float]:
        hits = reranker.rank(query, documents, raw_scores=True)
        return [hit.logit for hit in sorted(hits, key=lambda hit: hit.index)]

    return score


worker.run(load)
