"""ModernBERT's and jina's logits against transformers' (tests/reference/golden-modernbert.json)."""

from __future__ import annotations

import json
from bisect import bisect_right
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rerankd.engines.openvino.modernbert_pack import blocks
from rerankd.engines.pack import SLOT_STEP
from rerankd.models.cross_encoder import CrossEncoder
from rerankd.models.load import Spec, load
from rerankd.models.selfcheck import self_check
from tests.checkpoints import bert
from tests.checkpoints.bert import TINY_JINA
from tests.checkpoints.jina import write as write_jina
from tests.checkpoints.modernbert import GOLDEN_SHAPES, LONG, write
from tests.engines import scored as checks
from tests.engines.scored import INDEPENDENCE, TOLERANCE, Scored, chunk_rows, prepare, score
from tests.reference.make_goldens import GOLDEN as XLMR_GOLDEN
from tests.reference.make_goldens import (
    Golden,
    long_documents,
    long_pairs,
)
from tests.reference.make_modernbert_goldens import GOLDEN, Goldens

pytestmark = pytest.mark.timeout(1800)  # slow

GOLDENS: Goldens = json.loads(GOLDEN.read_text(encoding="utf-8"))


@pytest.fixture(scope="module", params=list(GOLDEN_SHAPES))
def scored(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Scored:
    name: str = request.param
    return score(name, write(tmp_path_factory.mktemp(name), GOLDEN_SHAPES[name]))


def test_every_pair_scores_as_transformers_scores_it(scored: Scored) -> None:
    assert max(row.tokens for row in scored.rows) >= 512
    checks.check_pairs(scored, GOLDENS["shapes"][scored.name])


def test_the_longest_rows_score_as_transformers_scores_them(scored: Scored) -> None:
    checks.check_long(scored, GOLDENS["shapes"][scored.name], LONG)


def test_chunks_of_long_documents_score_as_those_cut_by_hand(scored: Scored) -> None:
    checks.check_chunks(scored, GOLDENS["shapes"][scored.name])


def test_logits_do_not_depend_on_batch_mates_or_their_order(scored: Scored) -> None:
    checks.check_company(scored)


def test_the_self_check_passes(scored: Scored) -> None:
    warnings = self_check(scored.model)  # made-up weights may rank badly
    assert all("relevant document" in warning for warning in warnings)


@pytest.mark.parametrize(
    "change",
    [
        {"local_attention": 18},
        {"global_attn_every_n_layers": 2},
        {"global_rope_theta": 1e4},
        {"local_rope_theta": 1e3},
        {"classifier_pooling": "cls"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_golden_pairs_would_show_a_wrong_setting(
    change: dict[str, object], tmp_path: Path
) -> None:
    shape = GOLDEN_SHAPES["tiny-modernbert"]
    wrong = score("wrong", write(tmp_path, shape, **change), step=8)
    golden = np.array(GOLDENS["shapes"]["tiny-modernbert"]["pairs"][::8])
    assert np.abs(wrong.logits - golden).max() > 0.1


@settings(max_examples=60)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=6), st.integers(1, 12))
def test_blocks_show_each_token_its_neighbours_of_the_same_row(
    lengths: list[int], reach: int
) -> None:
    starts = [sum(lengths[:row]) for row in range(len(lengths) + 1)]
    made = blocks(np.array(lengths, dtype=np.int32), reach)
    queries, keys = made["local_queries"].ravel(), made["local_keys"]
    assert keys.shape[1] % SLOT_STEP == 0
    seen = made["local_mask"][:, 0] == 0
    for token, place in enumerate(made["local_tokens"].tolist()):
        assert queries[place] == token
        block, at = divmod(place, reach)
        row = bisect_right(starts, token) - 1
        assert at == (token - starts[row]) % reach  # whatever stands before the row
        of_row = np.arange(starts[row], starts[row + 1])
        near = of_row[np.abs(of_row - token) <= reach]
        assert keys[block][seen[block, at]].tolist() == near.tolist()


@pytest.fixture(scope="module")
def jina(tmp_path_factory: pytest.TempPathFactory) -> Scored:
    return score("jina", write_jina(tmp_path_factory.mktemp("jina"), shape=TINY_JINA))


def test_jinas_names_score_exactly_as_the_plain_names(jina: Scored, tmp_path: Path) -> None:
    plain = score("plain", bert.write(tmp_path, TINY_JINA))
    np.testing.assert_array_equal(jina.logits, plain.logits)


def test_every_pair_scores_under_jinas_names_as_transformers_scores_it(jina: Scored) -> None:
    goldens: dict[str, Golden] = json.loads(XLMR_GOLDEN.read_text(encoding="utf-8"))
    golden = goldens["tiny-jina"]
    assert len(golden["pairs"]) >= 300
    np.testing.assert_allclose(jina.logits, golden["pairs"], rtol=0, atol=TOLERANCE)
    rows = prepare(jina.model, long_pairs())
    assert [row.tokens for row in rows] == [1024] * 3
    ours = jina.model.engine.forward(rows)
    np.testing.assert_allclose(ours, golden["long"], rtol=0, atol=TOLERANCE)


def test_jinas_chunks_are_those_cut_by_hand(jina: Scored, tmp_path: Path) -> None:
    spec = Spec(name="jina", folder=write_jina(tmp_path, shape=TINY_JINA), chunk_rule="jina")
    model = load(spec).model
    assert isinstance(model, CrossEncoder)
    moved = 0
    for item, chunks in zip(long_documents(), GOLDENS["jina"], strict=True):
        rows = chunk_rows(model, item)
        assert {row.tokens for row in rows} == {item["window_tokens"]}  # the last is full, too
        ours = model.engine.forward(rows)
        np.testing.assert_allclose(ours, chunks, rtol=0, atol=TOLERANCE)
        left = jina.model.engine.forward(chunk_rows(jina.model, item))
        np.testing.assert_allclose(left[:-1], ours[:-1], rtol=0, atol=INDEPENDENCE)
        moved += int(np.abs(left[-1] - ours[-1]).max() > 0.01)
    assert moved >= 5
