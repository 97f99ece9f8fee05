"""Our logits against transformers' on the same weights (tests/reference/golden.json)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from rerankd.core.errors import EngineFailed
from rerankd.core.rank import best_chunk
from rerankd.core.request import Content, RerankRequest
from rerankd.core.rows import Logits, Row
from rerankd.models.cross_encoder import CrossEncoder, load_cross_encoder
from rerankd.models.selfcheck import self_check
from tests.checkpoints.bert import GOLDEN_SHAPES, write
from tests.reference.make_goldens import (
    GOLDEN,
    Golden,
    Pair,
    long_documents,
    long_pairs,
    pairs,
)

pytestmark = pytest.mark.timeout(1800)  # slow

TOLERANCE = 1e-3  # to torch, on other kernels
INDEPENDENCE = 1e-5  # to ourselves, in another batch
SHAPES = list(GOLDEN_SHAPES)


@dataclass(frozen=True)
class Loaded:
    """A checkpoint of one shape, its golden logits, and our rows and logits of all pairs."""

    folder: Path
    golden: Golden
    model: CrossEncoder
    rows: tuple[Row, ...]
    logits: Logits


def prepare(model: CrossEncoder, wanted: Sequence[Pair]) -> tuple[Row, ...]:
    """One row per pair, the document cut to the window."""
    return tuple(
        row
        for pair in wanted
        for row in model.prepare(
            RerankRequest(
                query=Content(value=pair["query"]),
                documents=(Content(value=pair["document"]),),
                max_chunks_per_doc=1,
            )
        ).rows
    )


@pytest.fixture(scope="module", params=SHAPES)
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    name: str = request.param
    folder = write(tmp_path_factory.mktemp(name), GOLDEN_SHAPES[name])
    model = load_cross_encoder(folder, name=name)
    rows = prepare(model, pairs())
    goldens: dict[str, Golden] = json.loads(GOLDEN.read_text(encoding="utf-8"))
    return Loaded(folder, goldens[name], model, rows, model.engine.forward(rows))


def test_every_pair_scores_as_transformers_scores_it(loaded: Loaded) -> None:
    golden = np.array(loaded.golden["pairs"], dtype=np.float64)
    assert len(golden) >= 300
    assert max(row.tokens for row in loaded.rows) >= 512
    assert golden.std(axis=0).min() > 0.3  # else agreement says little
    assert loaded.logits.shape == golden.shape
    assert loaded.logits.dtype == np.float32
    assert np.abs(loaded.logits - golden).max() < TOLERANCE


def test_the_longest_rows_score_as_transformers_scores_them(loaded: Loaded) -> None:
    rows = prepare(loaded.model, long_pairs())
    assert [row.tokens for row in rows] == [loaded.model.card.window_tokens] * 3
    ours = loaded.model.engine.forward(rows)
    np.testing.assert_allclose(ours, loaded.golden["long"], rtol=0, atol=TOLERANCE)


def test_a_document_of_several_chunks_scores_as_the_best_chunk_done_by_hand(
    loaded: Loaded,
) -> None:
    for item, chunks in zip(long_documents(), loaded.golden["chunks"], strict=True):
        model = loaded.model.with_window(item["window_tokens"])
        prepared = model.prepare(
            RerankRequest(
                query=Content(value=item["query"]),
                documents=(Content(value=item["document"]), Content(value="short")),
                overlap_tokens=item["overlap_tokens"],
            )
        )
        assert max(row.tokens for row in prepared.rows) == item["window_tokens"]
        ours = model.logit(model.engine.forward(prepared.rows))
        by_hand = model.logit(np.array(chunks, dtype=np.float32))
        assert len(chunks) >= 3
        np.testing.assert_allclose(ours[:-1], by_hand, rtol=0, atol=TOLERANCE)
        best = best_chunk(ours.tolist(), prepared.owners, 2)
        assert abs(best[0] - by_hand.max()) < TOLERANCE


def test_logits_do_not_depend_on_batch_mates_or_their_order(loaded: Loaded) -> None:
    rng = np.random.default_rng(5)
    longest = int(np.argmax([row.tokens for row in loaded.rows]))
    short = [i for i, row in enumerate(loaded.rows) if row.tokens <= 64]
    for _ in range(12):
        picked = rng.permutation(len(short))[: rng.integers(1, 9)]
        members = [short[int(i)] for i in picked]
        if rng.random() < 0.3:  # a long companion changes the padding
            members.append(longest)
        again = loaded.model.engine.forward([loaded.rows[i] for i in members])
        assert np.abs(again - loaded.logits[members]).max() < INDEPENDENCE


def test_the_self_check_passes(loaded: Loaded) -> None:
    warnings = self_check(loaded.model)  # made-up weights may rank badly
    assert all("relevant document" in warning for warning in warnings)


def test_nothing_runs_after_close(tmp_path: Path) -> None:
    model = load_cross_encoder(write(tmp_path, GOLDEN_SHAPES["tiny-bert-2-labels"]), name="tiny")
    row = Row(np.array([2, 5, 3, 6, 3], dtype=np.int32), 3)
    assert model.engine.forward([row]).shape == (1, 2)
    assert model.engine.forward([]).shape == (0, 2)
    model.engine.close()
    model.engine.close()
    with pytest.raises(EngineFailed):
        model.engine.forward([row])


def test_a_failed_batch_does_not_harm_the_next(tmp_path: Path) -> None:
    model = load_cross_encoder(write(tmp_path, GOLDEN_SHAPES["tiny-bert-2-labels"]), name="tiny")
    good = Row(np.array([2, 5, 3, 6, 3], dtype=np.int32), 3)
    before = model.engine.forward([good])
    with pytest.raises(EngineFailed):
        model.engine.forward([good, Row(np.zeros((2, 2), dtype=np.int32), 1)])
    np.testing.assert_array_equal(model.engine.forward([good]), before)
