"""Cross-encoders of modules against sentence-transformers (golden-module-head.json)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rerankd.core.errors import StartError
from rerankd.core.options import BY_THE_CARD, LoadOptions
from rerankd.core.score import sigmoid
from rerankd.models.activation import RAW, SIGMOID
from rerankd.models.cross_encoder import CrossEncoder
from rerankd.models.load import load, resolve
from tests.checkpoints.module_head import GOLDEN_SHAPES, LONG, TINY, write
from tests.engines import scored as checks
from tests.engines.scored import Scored, score
from tests.reference.make_module_head_goldens import GOLDEN, ModuleGolden

pytestmark = pytest.mark.timeout(1800)  # slow

GOLDENS: dict[str, ModuleGolden] = json.loads(GOLDEN.read_text(encoding="utf-8"))


def opened(folder: Path, options: LoadOptions = BY_THE_CARD) -> CrossEncoder:
    model = load(resolve(str(folder), options)).model
    assert isinstance(model, CrossEncoder)
    return model


@pytest.fixture(scope="module", params=list(GOLDEN_SHAPES))
def scored(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Scored:
    name: str = request.param
    folder = write(tmp_path_factory.mktemp(name), GOLDEN_SHAPES[name])
    return score(name, folder, model=opened(folder))


def test_every_pair_scores_as_sentence_transformers_scores_it(scored: Scored) -> None:
    checks.check_pairs(scored, GOLDENS[scored.name]["logits"])


def test_the_longest_rows_score_as_sentence_transformers_scores_them(scored: Scored) -> None:
    longest = 512 if scored.name == "tiny-modules-bert" else LONG
    assert scored.model.card.window_tokens == longest
    checks.check_long(scored, GOLDENS[scored.name]["logits"], longest)


def test_chunks_of_long_documents_score_as_those_cut_by_hand(scored: Scored) -> None:
    checks.check_chunks(scored, GOLDENS[scored.name]["logits"])


def test_logits_do_not_depend_on_batch_mates_or_their_order(scored: Scored) -> None:
    checks.check_company(scored)


def test_relevance_is_the_score_after_the_folders_own_activation(scored: Scored) -> None:
    wanted = np.array(GOLDENS[scored.name]["scores"])
    ours = [scored.model.relevance(float(x)) for x in scored.model.logit(scored.logits)]
    if wanted.shape[1] == 2:  # Identity: two logits, of which ours is the softmax of the second
        assert scored.model.card.activation == SIGMOID
        wanted = np.array([[sigmoid(float(row[1] - row[0]))] for row in wanted])
    np.testing.assert_allclose(ours[: len(wanted)], wanted[:, 0], rtol=0, atol=1e-4)
    assert (scored.model.card.activation == RAW) == (scored.name == "tiny-ettin")


WRONG = {
    "1_Pooling": {"pooling_mode": "mean"},
    "2_Dense": {"activation_function": "torch.nn.modules.activation.Tanh"},
}


@pytest.mark.parametrize("module", list(WRONG))
def test_the_golden_pairs_would_show_a_wrong_module(module: str, tmp_path: Path) -> None:
    folder = write(tmp_path, TINY)
    change(folder / module, **WRONG[module])
    wrong = score("wrong", folder, model=opened(folder), step=8)
    golden = np.array(GOLDENS["tiny-ettin"]["logits"]["pairs"][::8])
    assert np.abs(wrong.logits - golden).max() > 0.1


def change(module: Path, **fields: object) -> None:
    path = module / "config.json"
    said: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(said | fields), encoding="utf-8")


def modules(folder: Path, *kinds: tuple[str, str]) -> None:
    """modules.json of other modules, by kind and path."""
    entries = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (kind, path) in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(entries), encoding="utf-8")


HEAD = (("Transformer", ""), ("Pooling", "1_Pooling"), ("Dense", "2_Dense"))


@pytest.mark.parametrize(
    ("kinds", "says"),
    [
        ((*HEAD, ("Normalize", "3_Normalize"), ("Dense", "4_Dense")), "3_Normalize.*Normalize"),
        ((HEAD[0], HEAD[2], HEAD[1], ("Dense", "4_Dense")), "2_Dense|Pooling"),
        ((*HEAD, ("LayerNorm", "3_LayerNorm")), "Dense at the end"),
        ((("Transformer", "0_Transformer"), *HEAD[1:], ("Dense", "4_Dense")), "in the root"),
        ((*HEAD, ("Dense", "../4_Dense")), "no folder inside"),
        ((*HEAD, ("Dense", "/etc")), "no folder inside"),
        ((*HEAD, ("Dense", "5_Dense")), "5_Dense.*missing"),
        ((*HEAD, ("Dense", "2_Dense")), "2_Dense.*module_output_name"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_other_modules_are_refused_by_name(
    kinds: tuple[tuple[str, str], ...], says: str, tmp_path: Path
) -> None:
    folder = write(tmp_path, TINY)
    modules(folder, *kinds)
    with pytest.raises(StartError, match=says):
        opened(folder)


@pytest.mark.parametrize(
    ("module", "fields", "says"),
    [
        ("1_Pooling", {"pooling_mode": "weightedmean"}, "weightedmean"),
        ("1_Pooling", {"pooling_mode": []}, "pooling_mode"),
        ("1_Pooling", {"include_prompt": False}, "include_prompt"),
        ("1_Pooling", {"embedding_dimension": 31}, "31 values behind an encoder of 32"),
        ("2_Dense", {"in_features": 16}, "in_features 16 behind 32"),
        ("2_Dense", {"activation_function": "torch.nn.ELU"}, "ELU"),
        ("2_Dense", {"module_output_name": "scores"}, "only sentence_embedding"),
        ("3_LayerNorm", {"dimension": 16}, "dimension 16 behind 32"),
        ("4_Dense", {"module_output_name": "sentence_embedding"}, "only scores"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_module_that_is_not_computed_is_refused_by_file_and_key(
    module: str, fields: dict[str, object], says: str, tmp_path: Path
) -> None:
    folder = write(tmp_path, TINY)
    change(folder / module, **fields)
    with pytest.raises(StartError, match=f"{module}.*{says}"):
        opened(folder)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"do_lower_case": True}, "do_lower_case"),
        ({"transformer_task": "fill-mask"}, "fill-mask"),
        ({"module_output_name": "logits"}, "logits"),
        ({"modality_config": {"text": {"method": "encode"}}}, "modality_config.text encode"),
        ({"processing_kwargs": {"text": {"max_length": 3}}}, "processing_kwargs text"),
        ({"query_length": 32}, "query_length"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_the_transformer_module_asks_for_is_not_ignored(
    fields: dict[str, object], says: str, tmp_path: Path
) -> None:
    folder = write(tmp_path, TINY)
    (folder / "sentence_bert_config.json").write_text(json.dumps(fields), encoding="utf-8")
    with pytest.raises(StartError, match=f"sentence_bert_config.json.*{says}"):
        opened(folder)


def test_the_smallest_limit_is_the_window(tmp_path: Path) -> None:
    folder = write(tmp_path, TINY)
    path = folder / "sentence_bert_config.json"
    path.write_text(json.dumps({"max_seq_length": 100}), encoding="utf-8")
    assert opened(folder).card.window_tokens == 100


def test_more_labels_than_two_are_refused(tmp_path: Path) -> None:
    folder = write(tmp_path, TINY)
    shutil.copytree(folder / "2_Dense", folder / "5_Dense")
    change(folder / "5_Dense", module_output_name="scores")
    modules(folder, *HEAD, ("Dense", "5_Dense"))
    with pytest.raises(StartError, match="out_features 32"):
        opened(folder)


def test_torch_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="leave `engine` out"):
        opened(write(tmp_path, TINY), LoadOptions(engine="torch"))
