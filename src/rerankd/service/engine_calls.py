"""One call into an engine for rows of either kind: pairs, which it scores, texts, which it embeds.

On the engine's thread.
"""

from __future__ import annotations

from collections.abc import Sequence

from rerankd.core.errors import EngineFailed
from rerankd.core.rows import Logits, Row, SoleText
from rerankd.engines.base import AnyEngine, EmbeddingEngine, ListwiseEngine, Remembering
from rerankd.engines.kinds import is_a
from rerankd.service.work import checked


def run(rows: Sequence[Row], engine: AnyEngine) -> tuple[Sequence[Logits], Sequence[int]]:
    """What comes of B > 0 rows: (K,) or (d,) for each, checked, and what was remembered, (B,).

    Raises:
        EngineFailed, or whatever the engine raised; no row was answered.
    """
    if is_a(engine, ListwiseEngine):
        raise EngineFailed(f"{engine.info.name} has no forward(); its rows run as steps.")
    # Nothing changes between the question and the batch.
    remembering = is_a(engine, Remembering)
    remembered = engine.remembered_tokens(rows) if remembering else [0] * len(rows)
    texts = [row for row in rows if isinstance(row, SoleText)]
    if not texts:
        return _of_rows(engine.forward(rows), len(rows)), remembered
    if not is_a(engine, EmbeddingEngine):
        raise EngineFailed(f"{engine.info.name} cannot embed.")
    vectors = iter(_of_rows(engine.embed(texts), len(texts)))
    pairs = [row for row in rows if not isinstance(row, SoleText)]
    logits = iter(_of_rows(engine.forward(pairs), len(pairs)) if pairs else ())
    return [next(vectors if isinstance(row, SoleText) else logits) for row in rows], remembered


def _of_rows(found: Logits, rows: int) -> Sequence[Logits]:
    """What an engine gave for so many rows, (B, K), every number finite. Raises EngineFailed."""
    if found.ndim != 2 or found.shape[0] != rows:
        raise EngineFailed(f"The engine gave shape {found.shape} for {rows} rows.")
    checked([found])
    return list(found)
