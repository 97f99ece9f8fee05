"""ELECTRA, DistilBERT and CamemBERT against transformers (golden-bert-kin.json)."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from rerankd.core.errors import StartError
from rerankd.core.options import LoadOptions
from rerankd.engines.openvino import distilbert, electra
from rerankd.engines.openvino.runtime import Node, ops
from rerankd.models.cross_encoder import load_cross_encoder
from rerankd.models.selfcheck import self_check
from tests.checkpoints.bert_kin import GOLDEN_SHAPES, write
from tests.engines import scored as checks
from tests.engines.scored import Scored, score
from tests.reference.make_bert_kin_goldens import GOLDEN
from tests.reference.make_goldens import Golden

pytestmark = pytest.mark.timeout(1800)  # slow

GOLDENS: dict[str, Golden] = json.loads(GOLDEN.read_text(encoding="utf-8"))
ELECTRA, DISTILBERT, CAMEMBERT = "tiny-electra", "tiny-distilbert", "tiny-camembert"


@pytest.fixture(scope="module", params=list(GOLDEN_SHAPES))
def scored(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Scored:
    name: str = request.param
    return score(name, write(tmp_path_factory.mktemp(name), GOLDEN_SHAPES[name]))


def test_every_pair_scores_as_transformers_scores_it(scored: Scored) -> None:
    checks.check_pairs(scored, GOLDENS[scored.name])


def test_the_longest_rows_score_as_transformers_scores_them(scored: Scored) -> None:
    checks.check_long(scored, GOLDENS[scored.name], 512)


def test_chunks_of_long_documents_score_as_those_cut_by_hand(scored: Scored) -> None:
    checks.check_chunks(scored, GOLDENS[scored.name])


def test_logits_do_not_depend_on_batch_mates_or_their_order(scored: Scored) -> None:
    checks.check_company(scored)


def test_the_self_check_passes(scored: Scored) -> None:
    warnings = self_check(scored.model)  # made-up weights may rank badly
    assert all("relevant document" in warning for warning in warnings)


@pytest.mark.parametrize(
    ("name", "module"),
    [(ELECTRA, electra), (DISTILBERT, distilbert)],
    ids=["electra", "distilbert"],
)
def test_the_golden_pairs_would_show_berts_head(
    name: str, module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path, GOLDEN_SHAPES[name])

    def tanh(x: Node, *_: str) -> Node:
        return ops.tanh(x)

    heads = SimpleNamespace(gelu=tanh, relu=tanh)
    monkeypatch.setattr(module, "ops", heads)  # of the head alone: the layers are in blocks
    wrong = score("wrong", folder, step=8)
    golden = np.array(GOLDENS[name]["pairs"][::8])
    assert np.abs(wrong.logits - golden).max() > 0.1


@pytest.mark.parametrize("name", list(GOLDEN_SHAPES))
def test_int8_is_near_fp32(name: str, tmp_path: Path) -> None:
    folder = write(tmp_path, GOLDEN_SHAPES[name])
    options = LoadOptions(quantization="int8")
    model = load_cross_encoder(folder, name=name, options=options)
    assert model.engine.info.precision == "int8"
    rough = score(name, folder, step=8, model=model)
    golden = np.array(GOLDENS[name]["pairs"][::8])
    difference = np.abs(rough.logits - golden)
    assert 1e-4 < difference.max() < 0.5


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        (ELECTRA, {"embedding_size": 16}, "embeddings_project"),
        (ELECTRA, {"hidden_act": "relu"}, "relu"),
        (DISTILBERT, {"activation": "relu"}, "relu"),
        (DISTILBERT, {"n_layers": 1}, "unused"),
        (DISTILBERT, {"n_heads": 5}, "does not divide"),
        (CAMEMBERT, {"model_type": "roberta"}, "not supported"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_config_that_cannot_be_served_says_why(
    name: str, change: dict[str, object], says: str, tmp_path: Path
) -> None:
    with pytest.raises(StartError, match=says):
        load_cross_encoder(write(tmp_path, GOLDEN_SHAPES[name], **change), name=name)
