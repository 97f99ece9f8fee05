"""JinaBERT's logits against its publisher's steps written out (golden-jina-bert.json)."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from rerankd.core.errors import StartError
from rerankd.core.options import LoadOptions
from rerankd.engines.openvino import jina_bert
from rerankd.engines.openvino.blocks import Packing
from rerankd.engines.openvino.runtime import Node, ops
from rerankd.models.cross_encoder import load_cross_encoder
from rerankd.models.folder_word import read_word
from rerankd.models.jina_bert_fields import alibi_slopes
from rerankd.models.selfcheck import self_check
from tests.checkpoints.jina_bert import (
    GOLDEN_SHAPES,
    IMPLEMENTATION,
    LONG,
    TINY,
    Shape,
    tensors,
    write,
    write_made,
)
from tests.engines import scored as checks
from tests.engines.scored import Scored, score
from tests.reference.make_goldens import Golden
from tests.reference.make_jina_bert_goldens import GOLDEN

pytestmark = pytest.mark.timeout(1800)  # slow

GOLDENS: dict[str, Golden] = json.loads(GOLDEN.read_text(encoding="utf-8"))
GATED = ".mlp.gated_layers."


@pytest.fixture(scope="module", params=list(GOLDEN_SHAPES))
def scored(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Scored:
    name: str = request.param
    return score(name, write(tmp_path_factory.mktemp(name), GOLDEN_SHAPES[name]))


def test_every_pair_scores_as_the_publishers_steps(scored: Scored) -> None:
    checks.check_pairs(scored, GOLDENS[scored.name])


def test_the_longest_rows_score_as_the_publishers_steps(scored: Scored) -> None:
    checks.check_long(scored, GOLDENS[scored.name], LONG)


def test_chunks_of_long_documents_score_as_those_cut_by_hand(scored: Scored) -> None:
    checks.check_chunks(scored, GOLDENS[scored.name])


def test_logits_do_not_depend_on_batch_mates_or_their_order(scored: Scored) -> None:
    checks.check_company(scored)


def test_the_self_check_passes(scored: Scored) -> None:
    warnings = self_check(scored.model)  # made-up weights may rank badly
    assert all("relevant document" in warning for warning in warnings)


def difference(folder: Path) -> float:
    """The largest one of a logit, of every eighth pair of TINY."""
    wrong = score("wrong", folder, step=8)
    golden = np.array(GOLDENS["tiny-jina-bert"]["pairs"][::8])
    return float(np.abs(wrong.logits - golden).max())


@pytest.mark.parametrize(
    "change",
    [
        {"feed_forward_type": "reglu"},
        {"layer_norm_eps": 0.5},
        {"auto_map": {"AutoModelForSequenceClassification": IMPLEMENTATION}},
    ],
    ids=["gate", "eps", "slopes-not-halved"],
)
def test_the_golden_pairs_would_show_a_wrong_setting(
    change: dict[str, object], tmp_path: Path
) -> None:
    assert difference(write(tmp_path, TINY, **change)) > 0.05


def test_the_golden_pairs_would_show_the_other_half_as_the_gate(tmp_path: Path) -> None:
    swapped = {
        name: np.roll(tensor, len(tensor) // 2, axis=0) if GATED in name else tensor
        for name, tensor in tensors(TINY).items()
    }
    assert difference(write_made(tmp_path, TINY, swapped)) > 0.1


def test_the_golden_pairs_would_show_distances_of_one_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def one_sided(x: Node) -> Node:
        return ops.maximum(x, ops.constant(np.float32(0.0)))

    both = jina_bert.nearness

    def one_side(packing: Packing) -> Node:
        with monkeypatch.context() as inside:
            inside.setattr(ops, "abs", one_sided)
            return both(packing)

    monkeypatch.setattr(jina_bert, "nearness", one_side)
    assert difference(write(tmp_path, TINY)) > 0.1


@pytest.mark.parametrize(
    ("heads", "exponents"),
    [
        (8, [1, 2, 3, 4, 5, 6, 7, 8]),
        (12, [1, 2, 3, 4, 5, 6, 7, 8, 0.5, 1.5, 2.5, 3.5]),
        (3, [4, 8, 2]),
        (1, [8]),
    ],
    ids=str,
)
def test_slopes_of_heads(heads: int, exponents: Sequence[float]) -> None:
    assert alibi_slopes(heads, halved=False) == tuple(2.0**-e for e in exponents)


def test_halved_slopes_are_those_of_the_heads_beyond_a_power_of_two() -> None:
    exponents = [1, 2, 3, 4, 5, 6, 7, 8, 1.5, 2.5, 3.5, 4.5]
    assert alibi_slopes(12, halved=True) == tuple(2.0**-e for e in exponents)


def test_eight_heads_need_nobodys_word(tmp_path: Path) -> None:
    shape = dataclasses.replace(TINY, heads=8, layers=1)
    plain = score("plain", write(tmp_path / "a", shape, auto_map={}), step=32)
    named = score("named", write(tmp_path / "b", shape), step=32)
    np.testing.assert_array_equal(plain.logits, named.logits)


def test_one_label_goes_without_saying(tmp_path: Path) -> None:
    word = read_word(write(tmp_path, TINY))
    assert (word.kind, word.labels) == ("classifier", 1)


def test_a_row_of_the_published_window_runs(tmp_path: Path) -> None:
    shape = Shape(hidden=24, layers=2, heads=12, intermediate=24, positions=8192)
    model = load_cross_encoder(write(tmp_path, shape), name="long")
    rows = checks.prepare(model, checks.long_pairs()[:1])
    assert [row.tokens for row in rows] == [8192]
    assert np.isfinite(model.engine.forward(rows)).all()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"feed_forward_type": "original"}, "feed_forward_type 'original'"),
        ({"position_embedding_type": "absolute"}, "position_embedding_type 'absolute'"),
        ({"is_decoder": True}, "is_decoder"),
        ({"is_causal": True}, "is_causal"),
        ({"add_cross_attention": True}, "add_cross_attention"),
        ({"num_attention_heads": 5}, "does not divide"),
        ({"num_attention_heads": 24}, "num_attention_heads 24 .* slopes are not known"),
        ({"auto_map": {}}, "num_attention_heads 12 .* slopes are not known"),
        ({"auto_map": {"AutoModelForSequenceClassification": "a/b--c.D"}}, "a/b--c.D"),
        ({"id2label": {"0": "a", "1": "b", "2": "c"}}, "3 labels"),
        ({"num_hidden_layers": 2}, "unused"),
        ({"vocab_size": 100}, "another model"),
        ({"model_type": "roberta"}, "not supported"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_config_that_cannot_be_served_says_why(
    change: dict[str, object], says: str, tmp_path: Path
) -> None:
    with pytest.raises(StartError, match=says):
        load_cross_encoder(write(tmp_path, TINY, **change), name="jina")


def test_the_other_jina_bert_is_refused_by_its_tensors(tmp_path: Path) -> None:
    """jina-bert-v2-qk-post-norm has the same class name, and normalises queries and keys."""
    made = tensors(TINY)
    for name in [name for name in made if GATED in name]:
        made[name.replace("gated_layers", "up_gated_layer")] = made.pop(name)
    with pytest.raises(StartError, match="gated_layer"):
        load_cross_encoder(write_made(tmp_path, TINY, made), name="jina")


def test_torch_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="no JinaBERT yet; leave `engine` out"):
        load_cross_encoder(write(tmp_path, TINY), name="jina", options=LoadOptions(engine="torch"))
