"""What a ColBERT folder says is used, or refused by file and key."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file, save_file  # pyright: ignore[reportUnknownVariableType] - PathLike

from rerankd.core.errors import StartError
from rerankd.core.options import LoadOptions
from rerankd.models.body import open_body
from rerankd.models.colbert import load_colbert
from rerankd.models.colbert_folder import colbert_word
from rerankd.models.colbert_recipe import ColbertRecipe, colbert_recipe
from rerankd.models.folder_word import read_word
from rerankd.models.load import Spec, load
from rerankd.models.loaders import Opening
from tests.checkpoints import colbert
from tests.checkpoints.colbert import GOLDEN_SHAPES, Shape, write

SETTINGS, SENTENCE = "config_sentence_transformers.json", "sentence_bert_config.json"
PYLATE, ATTENDED = colbert.PYLATE, colbert.ATTENDED
STANFORD, OWN = colbert.STANFORD, colbert.MULTI_VECTOR


def changed(folder: Path, name: str, **change: object) -> Path:
    """Fields of one of the folder's JSON files replaced."""
    path = folder / name
    said: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    path.write_text(json.dumps(said | change), encoding="utf-8")
    return folder


def modules(folder: Path, **more: str) -> Path:
    """Modules more: kind -> path."""
    path = folder / "modules.json"
    listed: list[Any] = json.loads(path.read_text(encoding="utf-8"))
    listed += [{"type": f"any.{kind}", "path": where} for kind, where in more.items()]
    path.write_text(json.dumps(listed), encoding="utf-8")
    return folder


def recipe(folder: Path, window_tokens: int | None = None) -> ColbertRecipe:
    """The folder's."""
    said = colbert_word(read_word(folder))
    return colbert_recipe(said, open_body(folder), window_tokens=window_tokens)


def refused(folder: Path, *says: str, **options: Any) -> None:
    """By name, without a model."""
    with pytest.raises(StartError) as error:
        load(Spec(name="x", folder=folder, options=LoadOptions(**options)))
    for each in says:
        assert each in str(error.value)


def test_defaults_of_a_pylate_folder_that_says_nothing(tmp_path: Path) -> None:
    """PyLate's: markers, 32 and 180 tokens, expansion that is not attended, punctuation."""
    folder = write(tmp_path, ATTENDED)
    (folder / SETTINGS).write_text(json.dumps({"query_prefix": "[Q] "}), encoding="utf-8")
    found = recipe(folder)
    assert (found.query.length, found.document.length) == (32, 180)
    assert found.query.head.tolist()[1] == 4000
    assert found.document.head.tolist()[1] == 4001
    assert found.expansion is not None
    assert (found.expansion.length, found.expansion.is_attended) == (32, False)
    assert not found.query.skipped.size
    assert found.document.skipped.size > 20


def test_an_empty_prefix_is_none_and_the_limit_the_full_length(tmp_path: Path) -> None:
    found = recipe(write(tmp_path, PYLATE, query_prefix=""))
    assert found.query.head.size == 1
    assert found.query.room == 22


def test_the_operators_window_replaces_document_length(tmp_path: Path) -> None:
    assert recipe(write(tmp_path, PYLATE), 300).document.length == 300


def test_stanfords_defaults(tmp_path: Path) -> None:
    """Without artifact.metadata."""
    folder = write(tmp_path, STANFORD)
    (folder / "artifact.metadata").unlink()
    found = recipe(folder)
    assert (found.query.length, found.document.length) == (32, 180)
    assert found.query.head.tolist()[1] == 4000


def test_the_expansion_token_is_the_mask_or_what_the_folder_says(tmp_path: Path) -> None:
    """Then the end of the text, where there is no mask token."""
    folder = write(tmp_path, OWN)
    own = open_body(folder).tokenizer
    found = recipe(folder).expansion
    assert found is not None
    assert found.token == own.token_to_id("[MASK]")
    grown = {"strategy": "fixed", "length": 30, "token": "[SEP]"}
    found = recipe(changed(folder, SENTENCE, query_expansion=grown)).expansion
    assert found is not None
    assert found.token == own.token_to_id("[SEP]")
    changed(folder, SENTENCE, query_expansion={"strategy": "fixed", "length": 30})
    changed(folder, "tokenizer_config.json", mask_token="[NONE]", eos_token={"content": "[CLS]"})
    found = recipe(folder).expansion
    assert found is not None
    assert found.token == own.token_to_id("[CLS]")


def test_lower_case_before_the_tokenizer(tmp_path: Path) -> None:
    folder = changed(write(tmp_path, PYLATE), SENTENCE, do_lower_case=True)
    body = open_body(folder)
    before = body.tokenizer.encode("ABC").ids
    colbert_recipe(colbert_word(read_word(folder)), body)
    assert body.tokenizer.encode("ABC").ids == body.tokenizer.encode("abc").ids != before


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"query_prefix": "[X] "}, ("query marker '[X] '", "tokenizer.json")),
        ({"document_prefix": "nowhere"}, ("document marker 'nowhere'",)),
        ({"prompts": {"query": "ask: "}}, (SETTINGS, "prompts.query")),
        ({"prompts": {"x": "ask: "}, "default_prompt_name": "x"}, (SETTINGS, "prompts.x")),
        ({"query_length": 5}, ("a query of at most 5 tokens leaves no room",)),
        ({"query_length": 0}, (SETTINGS, "query_length")),
        (
            {"do_query_expansion": True, "query_length": 40},
            ("filled up to 40 tokens", "local_attention"),
        ),
    ],
)
def test_settings_that_are_refused(
    tmp_path: Path, change: dict[str, object], says: tuple[str, ...]
) -> None:
    refused(write(tmp_path, PYLATE, **change), *says)


def test_prompts_that_change_nothing_are_not_in_the_way(tmp_path: Path) -> None:
    """Those of another role, and one that is the prefix."""
    prompts = {"query": "[Q] ", "document": "", "other": "ask: "}
    recipe(write(tmp_path, PYLATE, prompts=prompts))


@pytest.mark.parametrize(
    ("shape", "name", "change", "says"),
    [
        (PYLATE, SENTENCE, {"config_kwargs": {"is_decoder": True}}, "config_kwargs"),
        (PYLATE, SENTENCE, {"nobody_knows": 1}, "nobody_knows"),
        (PYLATE, SENTENCE, {"transformer_task": "fill-mask"}, "transformer_task 'fill-mask'"),
        (PYLATE, SENTENCE, {"module_output_name": "x"}, "module_output_name 'x'"),
        (PYLATE, SENTENCE, {"processing_kwargs": {"text": {"a": 1}}}, "processing_kwargs"),
        (PYLATE, "1_Dense/config.json", {"out_features": 63}, "linear.weight"),
        (PYLATE, "2_Dense/config.json", {"in_features": 32}, "in_features 32 behind 64"),
        (STANFORD, "artifact.metadata", {"similarity": "l2"}, "similarity 'l2'"),
        (STANFORD, "artifact.metadata", {"interaction": "flipr"}, "interaction 'flipr'"),
        (OWN, "2_MultiVectorMask/config.json", {"keep_only_token_ids": [3]}, "keep_only_token_ids"),
        (OWN, "2_MultiVectorMask/config.json", {"skiplist_tasks": "all"}, "skiplist_tasks"),
        (OWN, "3_Normalize/config.json", {"module_input_name": "x"}, "it normalises"),
        (OWN, SENTENCE, {"query_expansion": {"strategy": "max", "length": 3}}, "strategy"),
        (OWN, SENTENCE, {"query_expansion": {"strategy": "min", "length": 3, "x": 1}}, "`x`"),
        (
            OWN,
            SENTENCE,
            {"query_length": None, "query_expansion": {"strategy": "min", "length": 600}},
            "600 tokens",
        ),
        (OWN, SENTENCE, {"query_length": 19}, "query_length 19 is smaller than"),
        (OWN, "tokenizer_config.json", {"padding_side": "left"}, "padding_side 'left'"),
        (OWN, "config.json", {"model_type": "xlm-roberta-flash"}, "xlm-roberta-flash"),
    ],
)
def test_files_that_are_refused(
    tmp_path: Path, shape: Shape, name: str, change: dict[str, object], says: str
) -> None:
    """By file and key."""
    folder = changed(write(tmp_path, shape), name, **change)
    refused(folder, name if "Dense" not in name else str(folder), says)


def test_modules_that_are_refused(tmp_path: Path) -> None:
    """Unknown ones by name, known ones in another order, folders outside."""
    refused(modules(write(tmp_path / "a", OWN), TokenPooling="4_x"), "TokenPooling", "modules.json")
    refused(modules(write(tmp_path / "b", PYLATE), Normalize="4_x"), "the module Normalize")
    refused(modules(write(tmp_path / "c", OWN), Dense="1_Dense"), "this order of modules")
    refused(modules(write(tmp_path / "d", PYLATE), Dense="../1_Dense"), "'../1_Dense'")
    refused(modules(write(tmp_path / "e", OWN), MultiVectorMask="4"), "there 2 times")
    folder = write(tmp_path / "f", PYLATE)
    (folder / "modules.json").unlink()
    refused(folder, "modules.json is missing")


def test_expansion_that_nothing_scores(tmp_path: Path) -> None:
    """Of sentence-transformers' own form, without a MultiVectorMask."""
    folder = write(tmp_path, OWN)
    path = folder / "modules.json"
    listed = [m for m in json.loads(path.read_text()) if "MultiVectorMask" not in m["type"]]
    path.write_text(json.dumps(listed), encoding="utf-8")
    refused(folder, SENTENCE, "MultiVectorMask")


def test_a_linear_layer_that_is_missing(tmp_path: Path) -> None:
    """Of Stanford's form."""
    folder = write(tmp_path, STANFORD)
    made = load_file(folder / "model.safetensors")
    del made["linear.weight"]
    save_file(made, folder / "model.safetensors")
    refused(folder, "linear.weight")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"engine": "torch"}, "openvino"),
        ({"precision": "fp16"}, "fp32, bf16 and int8"),
        ({"score": "sigmoid"}, 'score = "sigmoid"'),
        ({"window_tokens": 9000}, "9000"),
    ],
)
def test_options_that_would_be_ignored(
    tmp_path: Path, options: dict[str, object], says: str
) -> None:
    refused(write(tmp_path, PYLATE), says, **options)


@pytest.mark.parametrize("name", GOLDEN_SHAPES)
def test_the_card_says_what_a_score_is(name: str, tmp_path: Path) -> None:
    """By the folder; the operator may choose the mean, which another folder says itself."""
    folder = write(tmp_path / "a", GOLDEN_SHAPES[name])
    model = load_colbert(Opening(folder=folder, word=read_word(folder), name="x"))
    assert "the sum, over the query's vectors" in model.card.score
    assert not model.card.activation.is_bounded
    model.engine.close()


def test_a_folder_may_say_the_mean(tmp_path: Path) -> None:
    said = {**OWN.said, "similarity_fn_name": "meanmaxsim"}
    folder = write(tmp_path, dataclasses.replace(OWN, said=said))
    model = load_colbert(Opening(folder=folder, word=read_word(folder), name="x"))
    assert "divided by the number" in model.card.score
    model.engine.close()
