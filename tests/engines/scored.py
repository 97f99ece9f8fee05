"""A tiny cross-encoder with its logits of all golden pairs, and what every family's must fulfil."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rerankd.core.request import Content, RerankRequest
from rerankd.core.rows import Logits, Row
from rerankd.models.cross_encoder import CrossEncoder, load_cross_encoder
from tests.reference.make_goldens import Golden, LongDocument, Pair, long_documents, long_pairs
from tests.reference.make_goldens import pairs as golden_pairs

TOLERANCE = 1e-3  # to torch, on other kernels
INDEPENDENCE = 1e-5  # to ourselves, in another batch


@dataclass(frozen=True)
class Scored:
    """A model, and our rows and logits of the pairs."""

    name: str
    model: CrossEncoder
    rows: tuple[Row, ...]
    logits: Logits


def score(name: str, folder: Path, *, step: int = 1, model: CrossEncoder | None = None) -> Scored:
    """Every so manieth pair; model: opened already."""
    model = model or load_cross_encoder(folder, name=name)
    rows = prepare(model, golden_pairs()[::step])
    return Scored(name, model, rows, model.engine.forward(rows))


def prepare(model: CrossEncoder, wanted: Sequence[Pair]) -> tuple[Row, ...]:
    """One row per pair, the document cut to the window."""
    requests = (
        RerankRequest(
            query=Content(value=pair["query"]),
            documents=(Content(value=pair["document"]),),
            max_chunks_per_doc=1,
        )
        for pair in wanted
    )
    return tuple(row for request in requests for row in model.prepare(request).rows)


def chunk_rows(model: CrossEncoder, item: LongDocument) -> tuple[Row, ...]:
    """The rows of a long document's chunks."""
    request = RerankRequest(
        query=Content(value=item["query"]),
        documents=(Content(value=item["document"]),),
        overlap_tokens=item["overlap_tokens"],
    )
    return model.with_window(item["window_tokens"]).prepare(request).rows


def check_pairs(scored: Scored, golden: Golden) -> None:
    """Every pair scores as the reference scores it."""
    wanted = np.array(golden["pairs"])
    assert len(wanted) >= 300
    assert wanted.std(axis=0).min() > 0.3  # else agreement says little
    assert np.abs(scored.logits - wanted).max() < TOLERANCE


def check_long(scored: Scored, golden: Golden, longest: int) -> None:
    """Rows of the model's maximum length score as the reference scores them."""
    rows = prepare(scored.model, long_pairs())
    assert [row.tokens for row in rows] == [longest] * 3
    ours = scored.model.engine.forward(rows)
    np.testing.assert_allclose(ours, golden["long"], rtol=0, atol=TOLERANCE)


def check_chunks(scored: Scored, golden: Golden) -> None:
    """Chunks of long documents score as those cut by hand."""
    for item, chunks in zip(long_documents(), golden["chunks"], strict=True):
        ours = scored.model.engine.forward(chunk_rows(scored.model, item))
        np.testing.assert_allclose(ours, chunks, rtol=0, atol=TOLERANCE)


def check_company(scored: Scored) -> None:
    """A row's logits do not depend on what else is in its batch, or where; equal rows are equal."""
    rng = np.random.default_rng(5)
    for _ in range(12):
        members = [int(i) for i in rng.permutation(len(scored.rows))[: rng.integers(1, 9)]]
        again = scored.model.engine.forward([scored.rows[i] for i in members])
        assert np.abs(again - scored.logits[members]).max() < INDEPENDENCE
    twice = scored.model.engine.forward([scored.rows[3], scored.rows[4], scored.rows[3]])
    np.testing.assert_array_equal(twice[0], twice[2])
