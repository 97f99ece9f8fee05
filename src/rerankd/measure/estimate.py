"""Documents per second on this machine: measured for what ships inside, estimated for the rest."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import chain, count, islice
from typing import Final

from rerankd.engines.cores import usable_cores
from rerankd.measure.flops import LayerCost
from rerankd.measure.texts import docstrings
from rerankd.models.load import load, resolve
from rerankd.service.reranker import Reranker

WORDS: Final = 100  # of a document
TOKENS: Final = 150  # of such a document and a query
_DOCUMENTS: Final = 16
_SHARE: Final = 0.7  # of the GEMM peak that the fp32 engine reaches: docs/benchmarks.md
_GEMM_S: Final = 0.1  # per way to multiply
_QUERY: Final = "How is a file opened and read line by line?"


def measured(name: str) -> float:
    """Documents per second of a model that ships inside, loading left out."""
    warm, *batches = _texts(2)
    with Reranker.of(load(resolve(name))) as reranker:
        reranker.rank(_QUERY, warm)
        started = time.perf_counter()
        for batch in batches:
            reranker.rank(_QUERY, batch)
        return _DOCUMENTS * len(batches) / (time.perf_counter() - started)


def machine_gflops() -> float:
    """fp32 GFLOP/s of matrix products on all cores, in about half a second."""
    from rerankd.engines.openvino.gemm import GemmPeak  # here: 0.4 s to import

    peak = GemmPeak(usable_cores())
    try:
        return peak.measure(_GEMM_S)
    finally:
        peak.close()


def estimated(cost: LayerCost, gflops: float) -> float:
    """Documents per second in fp32 on the CPU, from the machine's matrix products alone."""
    return _SHARE * gflops * 1e9 / cost.nominal([TOKENS])


def _texts(batches: int) -> Sequence[Sequence[str]]:
    """Batches of documents of real text, no two alike."""
    prose = chain(docstrings(), (f"{_QUERY} {i}" for i in count()))  # some have no sources
    words = (word for text in prose for word in text.split())
    made = [" ".join(islice(words, WORDS)) for _ in range(batches * _DOCUMENTS)]
    return [made[i : i + _DOCUMENTS] for i in range(0, len(made), _DOCUMENTS)]
