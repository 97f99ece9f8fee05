"""Which prompt a decoder's folder gets, by its files, a name or the operator."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rerankd.core.errors import StartError
from rerankd.core.options import LoadOptions, PromptName
from rerankd.core.request import Content, RerankRequest
from rerankd.models import catalog
from rerankd.models.activation import RAW, SIGMOID, SIGMOID_OF_A_FIFTH
from rerankd.models.causal_yes_no import CausalYesNo
from rerankd.models.decoder_checkpoint import open_decoder
from rerankd.models.folder_word import DECODER_CLASSIFIERS, read_word
from rerankd.models.load import Spec, load
from rerankd.models.prompt_recipes import RECIPES
from tests.checkpoints.bert import TINY_BERT
from tests.checkpoints.bert import write as write_encoder
from tests.checkpoints.logit_score import CLASSIFIERS, LOGIT_SCORES, write


def opened(folder: Path, *, prompt: PromptName | None = None, **fields: Any) -> CausalYesNo:
    spec = Spec(name="tiny", folder=folder, options=LoadOptions(prompt=prompt), **fields)
    model = load(spec).model
    assert isinstance(model, CausalYesNo)
    return model


def edit(path: Path, **change: object) -> None:
    fields = json.loads(path.read_text(encoding="utf-8")) | change
    path.write_text(json.dumps(fields), encoding="utf-8")


def refused(folder: Path, *said: str, prompt: PromptName | None = None) -> None:
    with pytest.raises(StartError) as caught:
        opened(folder, prompt=prompt)
    assert [part for part in said if part not in str(caught.value)] == []


def text(model: CausalYesNo, folder: Path, instruction: str | None = None) -> str:
    """The one row of a pair, as text."""
    request = RerankRequest(
        query=Content(value=" Why? "),
        documents=(Content(value=" Because. "),),
        instruction=instruction,
    )
    (row,) = model.prepare(request).rows
    return open_decoder(folder).tokenizer.decode(row.ids.tolist(), skip_special_tokens=False)


@pytest.mark.parametrize("name", list(LOGIT_SCORES))
def test_a_folder_with_a_known_template_is_served_by_its_own_word(
    name: str, tmp_path: Path
) -> None:
    form = LOGIT_SCORES[name]
    model = opened(write(tmp_path, form))
    assert model.card.activation == (SIGMOID if form.activation is None else RAW)
    assert f"the logit of token {form.true_token}" in model.card.score


def test_the_default_prompt_is_the_default_instruction(tmp_path: Path) -> None:
    folder = write(tmp_path, LOGIT_SCORES["r3"])
    model = opened(folder)
    assert "<Instruct>: Given a user request, retrieve the agent skill" in text(model, folder)
    assert "<Instruct>: Find.\n" in text(model, folder, "Find.")
    edit(folder / "config_sentence_transformers.json", default_prompt_name="other")
    refused(folder, "default_prompt_name 'other'", "(missing)")


def test_a_template_keeps_the_spaces_that_the_first_code_of_zerank_strips(tmp_path: Path) -> None:
    folder = write(tmp_path, LOGIT_SCORES["zerank"])
    assert "system\n Why? <|im_end|>" in text(opened(folder), folder)
    named = opened(folder, prompt="zerank")
    assert "system\nWhy?<|im_end|>\n<|im_start|>user\nBecause.<|im_end|>" in text(named, folder)


def join_newlines(path: Path) -> None:
    """Two newlines become one token, in place of the last that the small tokenizer learned."""
    raw = json.loads(path.read_text(encoding="utf-8"))
    model: dict[str, Any] = raw["model"]
    merges: list[list[str]] = model["merges"]
    old = "".join(merges.pop())
    merges.append(["Ċ", "Ċ"])
    model["vocab"]["ĊĊ"] = model["vocab"].pop(old)
    path.write_text(json.dumps(raw), encoding="utf-8")


@pytest.mark.parametrize(("name", "recipe"), [("contextual", "contextual"), ("mxbai", "mxbai-v2")])
def test_a_documents_end_joins_what_follows_as_in_a_rendered_template(
    name: str, recipe: PromptName, tmp_path: Path
) -> None:
    folder = write(tmp_path, LOGIT_SCORES[name])
    join_newlines(folder / "tokenizer.json")
    model, tokenizer = opened(folder), open_decoder(folder).tokenizer
    for document in ("ends in a line\n", "ends. ", "\n", ""):
        request = RerankRequest(
            query=Content(value="Why?"), documents=(Content(value=document),), instruction="Find."
        )
        before, body, after = RECIPES[recipe].texts("Why?", "Find.")
        whole = "".join((*before, body, document, *after))
        (row,) = model.prepare(request).rows
        assert row.ids.tolist() == tokenizer.encode(whole, add_special_tokens=False).ids
    short = model.with_window(2 * row.tokens)
    long = RerankRequest(
        query=Content(value="Why?"), documents=(Content(value="word \n" * 300),), instruction=None
    )
    rows = short.prepare(long).rows
    assert len(rows) > 1
    assert max(each.tokens for each in rows) <= 2 * row.tokens


def test_a_catalog_name_brings_prompt_answer_and_scale() -> None:
    entry = catalog.find("zeroentropy/zerank-2-reranker")
    assert entry is not None
    assert (entry.recipe, entry.activation) == ("zerank", SIGMOID_OF_A_FIFTH)
    causal = [each for each in catalog.ENTRIES if each.family.name == "causal-yes-no"]
    assert all(each.recipe in RECIPES for each in causal)


@pytest.mark.parametrize("name", ["qwen2-pair", "qwen3-plain"])
def test_a_classifier_that_does_not_say_its_prompt_is_refused_until_somebody_does(
    name: str, tmp_path: Path
) -> None:
    folder = write(tmp_path, CLASSIFIERS[name])
    refused(folder, "has no chat_template.jinja", "prompt = one of qwen3-reranker, r3", '"plain"')
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    edit(folder / "sentence_bert_config.json", modality_config=None)
    refused(folder, "chat_template.jinja: the chat template makes none of the prompts")
    assert text(opened(folder, prompt="plain"), folder) == " Why?  Because. "
    plain = opened(folder, prompt="plain")
    assert text(plain, folder, "Find: ") == "Find:  Why?  Because. "
    asked = opened(folder, prompt="qwen3-reranker" if name == "qwen3-plain" else "mxbai-v2")
    assert "<|im_start|>user\n" in text(asked, folder)


def test_a_template_that_the_folders_reader_does_not_use_is_not_used(tmp_path: Path) -> None:
    folder = write(tmp_path, LOGIT_SCORES["qwen3"])
    way = {"method": "forward", "method_output_name": "logits"}
    edit(folder / "sentence_bert_config.json", modality_config={"text": way})
    refused(folder, "sentence_bert_config.json: modality_config has no message")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"do_lower_case": True}, "do_lower_case true"),
        ({"processing_kwargs": {"chat_template": {"x": 1}}}, "processing_kwargs.chat_template"),
        ({"processing_kwargs": {"text": {"max_length": 9}}}, "max_length"),
        (
            {"modality_config": {"message": {"format": "structured"}}},
            "modality_config.message.format 'structured'",
        ),
    ],
)
def test_what_changes_rows_is_refused_by_file_and_key(
    change: dict[str, object], says: str, tmp_path: Path
) -> None:
    folder = write(tmp_path, LOGIT_SCORES["qwen3"])
    edit(folder / "sentence_bert_config.json", **change)
    refused(folder, "sentence_bert_config.json", says)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"module_input_name": "x"}, "module_input_name 'x'"),
        ({"true_token_id": 2000}, "true_token_id 2000 of 2000"),
        ({"false_token_id": 261}, "both 261"),
        ({"true_token_id": -1}, "true_token_id"),
        ({"scale": 2}, "scale"),
    ],
)
def test_wrong_answers_are_refused_by_file_and_key(
    change: dict[str, object], says: str, tmp_path: Path
) -> None:
    folder = write(tmp_path, LOGIT_SCORES["qwen3"])
    edit(folder / "1_LogitScore" / "config.json", **change)
    refused(folder, "1_LogitScore/config.json", says)


@pytest.mark.parametrize("path", ["..", "/", "a/b", "../1_LogitScore", "a\\b"])
def test_a_module_lies_in_the_folder(path: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "model", LOGIT_SCORES["qwen3"])
    modules = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
    modules[1]["path"] = path
    (folder / "modules.json").write_text(json.dumps(modules), encoding="utf-8")
    refused(folder, "modules.json", "is not a folder beside it")


def test_the_folders_own_window_counts(tmp_path: Path) -> None:
    folder = write(tmp_path, LOGIT_SCORES["qwen3"])
    assert opened(folder).card.window_tokens == 8192
    edit(folder / "sentence_bert_config.json", max_seq_length=700)
    assert opened(folder).card.window_tokens == 700


def test_a_prompt_for_a_model_that_reads_none_is_refused(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path, TINY_BERT)
    with pytest.raises(StartError, match=r'prompt = "zerank": a model of this kind'):
        load(Spec(name="tiny", folder=folder, options=LoadOptions(prompt="zerank")))


def test_classifiers_of_decoders_are_told_by_their_architecture(tmp_path: Path) -> None:
    word = read_word(write(tmp_path, CLASSIFIERS["qwen3"]))
    assert word.kind == "classifier"
    assert word.reads_prompt
    assert word.config.architecture in DECODER_CLASSIFIERS
