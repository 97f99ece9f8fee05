"""From the vectors of blocks to one score per document. Pure.

Source: modeling.JinaForRanking.rerank of jinaai/jina-reranker-v3. A block counts for the query as
its best document: its weight is the largest (1 + cosine) / 2 within it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rerankd.core.rows import Scores

Floats64 = npt.NDArray[np.float64]
_NO_WEIGHT: Final = 1e-8  # of all blocks: they count alike
_NO_LENGTH: Final = 1e-12  # of a vector without a direction: its cosine is 0


def fused(blocks: Sequence[npt.NDArray[Any]]) -> Scores:
    """The cosine of every document's vector and the query's, (N,), in [-1, 1].

    Args:
        blocks: vectors of each block's documents, and the query's behind them, (V, d) each.
    """
    whole = [np.asarray(block, dtype=np.float64) for block in blocks]
    queries = np.stack([block[-1] for block in whole])
    documents = np.concatenate([block[:-1] for block in whole])
    weights = np.array([(1.0 + cosines(block[:-1], block[-1]).max()) / 2.0 for block in whole])
    total = float(weights.sum())
    shares = weights / total if total > _NO_WEIGHT else np.full(len(whole), 1.0 / len(whole))
    return cosines(documents, shares @ queries)


def cosines(documents: Floats64, query: Floats64) -> Scores:
    """Of each row (N, d) and a vector (d,): (N,)."""
    lengths = np.linalg.norm(documents, axis=1) * np.linalg.norm(query)
    return np.clip(documents @ query / np.maximum(lengths, _NO_LENGTH), -1.0, 1.0)
