"""Nothing in a folder that changes a score is ignored: it is used as the references do, or refused.

What they do: tests/reference/golden-folders.json, recorded from transformers 4.57.6 and 5.24.0 and
sentence-transformers 6.2.0 (tests/reference/make_folder_goldens.py).
"""

from __future__ import annotations

import pytest

from tests.reference.folder_cases import CASES
from tests.reference.folder_matrix import (
    FIVE,
    FOUR,
    OURS,
    PAGE,
    SHORT,
    ST,
    answers,
    cell,
    near,
    page,
)

# Files that only sentence-transformers reads: to it our scores are held, to transformers our logits
# are not.
ITS_OWN = ("modules.json", "config_sentence_transformers.json", "chat_template.jinja")
# Where ours are not sentence-transformers' scores, on purpose, and whose they are.
HALF = "float32, whatever precision a folder asks for: it rounds the reference's scores only"
BOTH = "of two labels the softmax, as a number; the reference gives both logits"
ON_PURPOSE = {
    "config.json: dtype 'bfloat16'": HALF,
    "config.json: torch_dtype 'bfloat16'": HALF,
    'sentence_bert_config.json: model_kwargs {"dtype": "bfloat16"}': HALF,
    "config.json: id2label of two names": BOTH,
    "config.json: num_labels 2 alone": BOTH,
}
NAMES = list(CASES)


def is_its_own(name: str) -> bool:
    file = CASES[name].file
    return file in ITS_OWN or file.startswith("sentence_") or "chat_template" in name


def refused(name: str) -> bool:
    return "error" in answers(OURS, name)[1]


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_is_scored_as_sentence_transformers_scores_it(name: str) -> None:
    theirs, ours = answers(ST, name)[1], answers(OURS, name)[1]
    if refused(name) or "scores" not in theirs:
        return  # a folder that it fails on is asked below
    wanted = [row[-1:] for row in theirs["scores"][:SHORT]]
    is_same = near(ours["scores"], wanted, 1e-4)
    assert is_same != (name in ON_PURPOSE), ON_PURPOSE.get(name, (ours, theirs))
    if theirs["window"] != answers(ST, name)[0]["window"]:
        assert ours["window"] == theirs["window"]


@pytest.mark.parametrize("reader", [FOUR, FIVE])
@pytest.mark.parametrize("name", NAMES)
def test_its_logits_are_those_of_transformers(name: str, reader: str) -> None:
    theirs, ours = answers(reader, name)[1], answers(OURS, name)[1]
    if refused(name) or "scores" not in theirs or is_its_own(name):
        return
    is_rounded = reader == FIVE and ON_PURPOSE.get(name) == HALF
    assert near(ours["logits"], theirs["scores"][:SHORT], 1e-4) != is_rounded


def test_a_token_that_is_named_is_found_whole_by_a_decoder_too() -> None:
    """Its prompt is another than the pair alone, so that ids are asked."""
    name = "tokenizer_config.json: pad_token 'he', Qwen3"
    assert {cell(reader, name) for reader in (FOUR, FIVE, OURS)} == {"read"}


@pytest.mark.parametrize("name", [name for name in NAMES if refused(name)])
def test_a_refusal_names_the_file_and_the_key(name: str) -> None:
    case, said = CASES[name], answers(OURS, name)[1]["says"]
    key = case.key.replace(",", " ").replace(".", " ").split()[0]
    assert case.file in said or key in NAMED
    assert NAMED.get(key, key) in said or case.file == "chat_template.jinja"


# Where the weights, or another reader of config.json, say it in other words.
NAMED = {
    "max_position_embeddings": "config.json asks for",
    "classifier_activation": "activation",
    "model_type": "modules.json: the modules Transformer",  # an embedding model's lacks Pooling
}


def test_what_is_refused_would_change_scores_or_stop_a_reader() -> None:
    """But for what nobody follows as it is written: a class of no torch."""
    for name in filter(refused, NAMES):
        said = {cell(reader, name) for reader in (FOUR, FIVE, ST)}
        assert said != {"–"} or name in HARMLESS, name


HARMLESS = {
    # sentence-transformers takes its default instead, with a warning
    "config.json: sbert_ce_default_activation_function of no torch",
    "config_sentence_transformers.json: activation_fn of no torch",
    # it does not read them there: the folder is not as it was saved
    "config_sentence_transformers.json: default_prompt_name, without modules.json",
    "config_sentence_transformers.json: activation_fn, without modules.json",
    "config_sentence_transformers.json: activation_fn Identity, without model_type",
    # of a class that does not look at it
    'sentence_bert_config.json: tokenizer_args {"do_lower_case": true}',
    # it would build a new cross-encoder of an embedding model's parts
    "config_sentence_transformers.json: model_type 'SentenceTransformer'",
}


def test_the_page_says_what_is_found_here() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert page(text) == text, "python -m tests.reference.folder_matrix"
