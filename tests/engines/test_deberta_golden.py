"""DeBERTa-v2's logits against transformers' (tests/reference/golden-deberta.json)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from rerankd.core.request import Content, RerankRequest
from rerankd.core.rows import Logits, Row
from rerankd.engines.openvino.deberta_pack import position_rows
from rerankd.models.checkpoint import open_checkpoint
from rerankd.models.cross_encoder import CrossEncoder, load_cross_encoder
from rerankd.models.selfcheck import self_check
from tests.checkpoints.deberta import GOLDEN_SHAPES, TINY, XSMALL_WIDTH, write
from tests.reference.make_deberta_goldens import GOLDEN
from tests.reference.make_goldens import Golden, Pair, long_documents, long_pairs, pairs

pytestmark = pytest.mark.timeout(1800)  # slow

TOLERANCE = 1e-3  # to torch, on other kernels
INDEPENDENCE = 1e-5  # to ourselves, in another batch
GOLDENS: dict[str, Golden] = json.loads(GOLDEN.read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Scored:
    """A model, its golden logits, and our rows and logits of all pairs."""

    golden: Golden
    model: CrossEncoder
    rows: tuple[Row, ...]
    logits: Logits


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


@pytest.fixture(scope="module", params=list(GOLDEN_SHAPES))
def scored(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Scored:
    name: str = request.param
    folder = write(tmp_path_factory.mktemp(name), GOLDEN_SHAPES[name])
    model = load_cross_encoder(folder, name=name)
    rows = prepare(model, pairs())
    return Scored(GOLDENS[name], model, rows, model.engine.forward(rows))


def test_every_pair_scores_as_transformers_scores_it(scored: Scored) -> None:
    golden = np.array(scored.golden["pairs"])
    assert len(golden) >= 300
    assert golden.std(axis=0).min() > 0.3  # else agreement says little
    assert max(row.tokens for row in scored.rows) == 512
    assert scored.logits.shape == golden.shape
    assert np.abs(scored.logits - golden).max() < TOLERANCE


def test_the_longest_rows_score_as_transformers_scores_them(scored: Scored) -> None:
    rows = prepare(scored.model, long_pairs())
    assert [row.tokens for row in rows] == [512] * 3
    ours = scored.model.engine.forward(rows)
    np.testing.assert_allclose(ours, scored.golden["long"], rtol=0, atol=TOLERANCE)


def test_chunks_of_long_documents_score_as_those_cut_by_hand(scored: Scored) -> None:
    for item, chunks in zip(long_documents(), scored.golden["chunks"], strict=True):
        request = RerankRequest(
            query=Content(value=item["query"]),
            documents=(Content(value=item["document"]),),
            overlap_tokens=item["overlap_tokens"],
        )
        rows = scored.model.with_window(item["window_tokens"]).prepare(request).rows
        ours = scored.model.engine.forward(rows)
        np.testing.assert_allclose(ours, chunks, rtol=0, atol=TOLERANCE)


def test_logits_do_not_depend_on_batch_mates_or_their_order(scored: Scored) -> None:
    rng = np.random.default_rng(5)
    longest = int(np.argmax([row.tokens for row in scored.rows]))
    for _ in range(12):
        members = [int(i) for i in rng.permutation(len(scored.rows))[: rng.integers(1, 9)]]
        if (
            rng.random() < 0.3
        ):  # a long companion changes the padding, and which distances there are
            members.append(longest)
        again = scored.model.engine.forward([scored.rows[i] for i in members])
        assert np.abs(again - scored.logits[members]).max() < INDEPENDENCE


def test_a_row_of_one_token_has_a_score(scored: Scored) -> None:
    row = Row(np.array([1], dtype=np.int32), 1)
    long = scored.rows[0]
    alone = scored.model.engine.forward([row])
    assert np.isfinite(alone).all()
    assert np.abs(scored.model.engine.forward([row, long])[0] - alone[0]).max() < INDEPENDENCE


def test_the_self_check_passes(scored: Scored) -> None:
    warnings = self_check(scored.model)  # made-up weights may rank badly
    assert all("relevant document" in warning for warning in warnings)


@pytest.mark.parametrize(
    "change",
    [{"max_relative_positions": 300}, {"layer_norm_eps": 0.1}, {"num_attention_heads": 2}],
    ids=lambda change: next(iter(change)),
)
def test_the_golden_pairs_would_show_a_wrong_setting(
    change: dict[str, object], tmp_path: Path
) -> None:
    model = load_cross_encoder(write(tmp_path, TINY, **change), name="wrong")
    logits = model.engine.forward(prepare(model, pairs()[::8]))
    golden = np.array(GOLDENS["tiny-deberta"]["pairs"][::8])
    assert np.abs(logits - golden).max() > 0.05


def test_far_distances_share_rows_and_near_ones_do_not(tmp_path: Path) -> None:
    config = open_checkpoint(write(tmp_path, XSMALL_WIDTH)).config
    assert config.architecture == "deberta-v2"
    distances = np.arange(-511, 512, dtype=np.int32)
    rows = position_rows(distances, config)
    near = np.abs(distances) <= 128
    np.testing.assert_array_equal(rows[near], distances[near] + 256)
    assert (np.diff(rows) >= 0).all()
    assert (rows[0], rows[-1]) == (1, 511)
    np.testing.assert_array_equal(rows + rows[::-1], 512)  # as far on either side
    assert np.bincount(rows).max() > 3
