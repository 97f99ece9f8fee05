"""GTE's logits against transformers' (tests/reference/golden-gte.json)."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from rerankd.core.errors import StartError
from rerankd.core.options import LoadOptions
from rerankd.models.cross_encoder import load_cross_encoder
from rerankd.models.selfcheck import self_check
from tests.checkpoints.gte import GOLDEN_SHAPES, LONG, TINY, saved_rope, write
from tests.engines import scored as checks
from tests.engines.scored import Scored, score
from tests.reference.make_goldens import Golden
from tests.reference.make_gte_goldens import GOLDEN

pytestmark = pytest.mark.timeout(1800)  # slow

GOLDENS: dict[str, Golden] = json.loads(GOLDEN.read_text(encoding="utf-8"))


@pytest.fixture(scope="module", params=list(GOLDEN_SHAPES))
def scored(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Scored:
    name: str = request.param
    return score(name, write(tmp_path_factory.mktemp(name), GOLDEN_SHAPES[name]))


def test_every_pair_scores_as_transformers_scores_it(scored: Scored) -> None:
    checks.check_pairs(scored, GOLDENS[scored.name])


def test_the_longest_rows_score_as_transformers_scores_them(scored: Scored) -> None:
    checks.check_long(scored, GOLDENS[scored.name], LONG)


def test_chunks_of_long_documents_score_as_those_cut_by_hand(scored: Scored) -> None:
    checks.check_chunks(scored, GOLDENS[scored.name])


def test_logits_do_not_depend_on_batch_mates_or_their_order(scored: Scored) -> None:
    checks.check_company(scored)


def test_the_self_check_passes(scored: Scored) -> None:
    warnings = self_check(scored.model)  # made-up weights may rank badly
    assert all("relevant document" in warning for warning in warnings)


def test_published_and_saved_form_are_one_model(tmp_path: Path) -> None:
    published = score("published", write(tmp_path / "published", TINY), step=16)
    saved = dataclasses.replace(TINY, is_published=False)
    same = score("saved", write(tmp_path / "saved", saved), step=16)
    np.testing.assert_allclose(published.logits, same.logits, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "change",
    [
        {"rope_scaling": None},
        {"rope_scaling": {"type": "ntk", "factor": 2.0}},
        {  # the angles' base without the division of the frequencies
            "rope_scaling": None,
            "rope_parameters": saved_rope(TINY) | {"rope_type": "default", "factor": 1.0},
        },
        {"rope_theta": 160_000.0},
        {"layer_norm_eps": 0.5},
    ],
    ids=["no-scaling", "factor", "base-only", "theta", "eps"],
)
def test_the_golden_pairs_would_show_a_wrong_setting(
    change: dict[str, object], tmp_path: Path
) -> None:
    shape = GOLDEN_SHAPES["tiny-gte"]
    wrong = score("wrong", write(tmp_path, shape, **change), step=8)
    golden = np.array(GOLDENS["tiny-gte"]["pairs"][::8])
    assert np.abs(wrong.logits - golden).max() > 0.1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"logn_attention_scale": True}, "logn_attention_scale"),
        ({"position_embedding_type": "absolute"}, "position_embedding_type"),
        ({"layer_norm_type": "rms_norm"}, "layer_norm_type"),
        ({"rope_scaling": {"type": "dynamic", "factor": 2.0}}, "dynamic"),
        ({"rope_scaling": {"type": "ntk", "factor": 2.0, "mixed_b": 0.5}}, "mixed_b"),
        ({"rope_scaling": {"type": "ntk", "factor": 0.5}}, "factor 0.5"),
        ({"rope_parameters": {"rope_type": "default", "factor": 2.0}, "rope_scaling": None}, "def"),
        ({"rope_parameters": {"rope_type": "linear", "factor": 2.0}}, "both"),
        ({"hidden_act": "silu"}, "silu"),
        ({"pack_qkv": False}, "pack_qkv"),
        ({"num_attention_heads": 32}, "even"),
        ({"id2label": {"0": "a", "1": "b", "2": "c"}}, "3 labels"),
        ({"num_hidden_layers": 2}, "unused 11"),
        ({"vocab_size": 100}, "another model"),
        ({"model_type": "bert"}, "not supported"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_config_that_cannot_be_served_says_why(
    change: dict[str, object], says: str, tmp_path: Path
) -> None:
    with pytest.raises(StartError, match=says):
        load_cross_encoder(write(tmp_path, TINY, **change), name="gte")


def test_torch_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="leave `engine` out"):
        load_cross_encoder(write(tmp_path, TINY), name="gte", options=LoadOptions(engine="torch"))
