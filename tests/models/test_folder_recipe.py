"""A folder that says in other files how it is scored is followed, or refused by file and key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rerankd.core.errors import StartError
from rerankd.core.options import LoadOptions, Score
from rerankd.core.request import Content, RerankRequest
from rerankd.models.activation import RAW, SIGMOID, Activation
from rerankd.models.folder_recipe import folder_activation
from rerankd.models.folder_word import read_word
from rerankd.models.load import Loaded, Spec, load
from tests.checkpoints import bert, decoder

ST = "sentence_transformers"
SETTINGS = "config_sentence_transformers.json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return bert.write(tmp_path / "mine", bert.TINY_BERT)


def put(folder: Path, name: str, content: object) -> None:
    (folder / name).write_text(json.dumps(content), encoding="utf-8")


def modules(folder: Path, *types: str) -> None:
    entries = [
        {"idx": i, "path": f"{i}_{kind.rpartition('.')[2]}" if i else "", "type": kind}
        for i, kind in enumerate(types)
    ]
    put(folder, "modules.json", entries)


def config(folder: Path, **change: Any) -> None:
    path = folder / "config.json"
    put(folder, "config.json", json.loads(path.read_text(encoding="utf-8")) | change)


def opened(folder: Path, **spec: Any) -> Loaded:
    loaded = load(Spec(name="mine", folder=folder, **spec))
    loaded.model.engine.close()
    return loaded


def refused(folder: Path, *says: str) -> None:
    with pytest.raises(StartError) as caught:
        opened(folder)
    assert all(word in str(caught.value) for word in says), caught.value


# modules.json


@pytest.mark.parametrize(
    "kind",
    ["models.Transformer", "base.models.Transformer", "models.Transformer.Transformer"],
)
def test_an_ordinary_folder_with_one_module_loads_as_before(folder: Path, kind: str) -> None:
    before = opened(folder).warnings
    modules(folder, f"{ST}.{kind}")
    put(folder, SETTINGS, {"model_type": "CrossEncoder", "prompts": {}, "activation_fn": None})
    assert opened(folder).warnings == before


def test_an_embedding_model_of_a_classifier_is_refused_by_its_architecture(folder: Path) -> None:
    modules(folder, f"{ST}.models.Transformer", f"{ST}.models.Pooling", f"{ST}.models.Normalize")
    refused(folder, "config.json", "ForSequenceClassification", "is not supported as an encoder")


def test_an_embedding_decoder_is_refused_by_its_architecture(tmp_path: Path) -> None:
    made = decoder.write(tmp_path, decoder.TINY_QWEN3)
    modules(made, f"{ST}.models.Transformer", f"{ST}.models.Pooling", f"{ST}.models.Normalize")
    put(made, SETTINGS, {"prompts": {"query": "Instruct: "}, "default_prompt_name": None})
    refused(made, "config.json", "Qwen3ForCausalLM", "is not supported as an encoder")


def test_an_embedding_model_of_one_module_is_refused_by_what_is_missing(folder: Path) -> None:
    modules(folder, f"{ST}.models.Transformer")
    put(folder, SETTINGS, {"model_type": "SentenceTransformer"})
    refused(folder, "modules.json", "Transformer", "Pooling behind it")


def test_a_model_of_another_kind_is_refused_by_its_type(folder: Path) -> None:
    modules(folder, f"{ST}.models.Transformer", f"{ST}.models.SpladePooling")
    put(folder, SETTINGS, {"model_type": "SparseEncoder"})
    refused(folder, SETTINGS, "model_type 'SparseEncoder'")


def test_a_cross_encoder_of_other_modules_is_refused_by_their_names(folder: Path) -> None:
    names = ("Transformer", "Pooling", "Dense", "Router", "Dense")
    modules(folder, *[f"{ST}.base.models.{name}" for name in names])
    put(folder, SETTINGS, {"model_type": "CrossEncoder"})
    refused(folder, "modules.json", "3_Router", "Dense, LayerNorm, Dropout behind Pooling")


def test_a_head_of_tokens_that_is_not_known_is_refused_by_name(tmp_path: Path) -> None:
    made = decoder.write(tmp_path, decoder.TINY_QWEN3)
    modules(made, f"{ST}.base.models.Transformer", f"{ST}.cross_encoder.modules.CausalScoreHead")
    put(made, SETTINGS, {"model_type": "CrossEncoder", "activation_fn": "torch.nn.Identity"})
    refused(made, "modules.json", "CausalScoreHead")


def test_a_static_embedding_is_called_one(tmp_path: Path) -> None:
    modules(tmp_path, f"{ST}.models.StaticEmbedding", f"{ST}.models.Normalize")
    refused(tmp_path, "modules.json", "StaticEmbedding", "embedding model")


def test_a_model2vec_folder_is_called_one(tmp_path: Path) -> None:
    put(tmp_path, "config.json", {"model_type": "model2vec", "architectures": ["StaticModel"]})
    refused(tmp_path, "config.json", "model2vec")


def test_a_module_that_nobody_knows_is_named(folder: Path) -> None:
    modules(folder, f"{ST}.base.models.Transformer", "somebody.Head")
    put(folder, SETTINGS, {"model_type": "CrossEncoder"})
    refused(folder, "modules.json", "Transformer, Head")


@pytest.mark.parametrize("content", [{}, [{"type": 3}], "x", [{}]], ids=str)
def test_a_damaged_modules_file_is_named(folder: Path, content: object) -> None:
    put(folder, "modules.json", content)
    refused(folder, "modules.json cannot be used")


# prompts


PROMPT: dict[str, Any] = {
    "prompts": {"query": "Represent this: ", "other": ""},
    "default_prompt_name": "query",
}


def test_a_default_prompt_stands_before_every_query(folder: Path) -> None:
    """And before no document; a prompt that another name asks for stands nowhere."""
    plain: Any = load(Spec(name="mine", folder=folder)).model
    say_newest(folder, **PROMPT)
    model: Any = load(Spec(name="mine", folder=folder)).model
    try:
        assert model.card.query_prompt == "Represent this: "
        document = Content(value="a document")
        bare = RerankRequest(query=Content(value="the query"), documents=(document,))
        written = RerankRequest(
            query=Content(value="Represent this: the query"), documents=(document,)
        )
        ours, theirs = model.prepare(bare).rows[0].ids, plain.prepare(written).rows[0].ids
        assert ours.tolist() == theirs.tolist()
        assert ours.size > plain.prepare(bare).rows[0].ids.size
        smaller = model.with_window(32)
        assert smaller.card.query_prompt == "Represent this: "
    finally:
        plain.engine.close()
        model.engine.close()


def test_a_default_prompt_of_a_folder_that_was_not_saved_whole_is_refused(folder: Path) -> None:
    """sentence-transformers would leave it out: it reads the file beside modules.json only."""
    put(folder, SETTINGS, PROMPT)
    refused(folder, SETTINGS, "default_prompt_name 'query'", "'Represent this: '", "modules.json")


def test_a_default_prompt_that_is_not_there_is_refused(folder: Path) -> None:
    say_newest(folder, prompts={}, default_prompt_name="query")
    refused(folder, SETTINGS, "default_prompt_name 'query'", "no prompt")


@pytest.mark.parametrize(
    "settings",
    [
        {"prompts": {"query": "Represent this: "}, "default_prompt_name": None},
        {"prompts": {"query": ""}, "default_prompt_name": "query"},
        {"prompts": None},
    ],
    ids=["no default", "empty", "null"],
)
def test_prompts_that_nobody_asks_for_change_nothing(
    folder: Path, settings: dict[str, Any]
) -> None:
    put(folder, SETTINGS, settings)
    opened(folder)


# activation


def activation(folder: Path) -> Activation:
    return folder_activation(read_word(folder))


def say_newest(folder: Path, name: str | None = None, **settings: Any) -> None:
    """As sentence-transformers 6 saves it."""
    modules(folder, f"{ST}.base.modules.transformer.Transformer")
    put(folder, SETTINGS, {"model_type": "CrossEncoder", "activation_fn": name, **settings})


def say_newer(folder: Path, name: str) -> None:
    config(folder, sentence_transformers={"activation_fn": name, "version": "5.0"})


def say_oldest(folder: Path, name: str) -> None:
    config(folder, sbert_ce_default_activation_function=name)


PLACES = {
    "activation_fn": say_newest,
    "sentence_transformers.activation_fn": say_newer,
    "sbert_ce_default_activation_function": say_oldest,
}


@pytest.mark.parametrize("key", list(PLACES))
def test_the_sigmoid_is_followed(folder: Path, key: str) -> None:
    PLACES[key](folder, "torch.nn.modules.activation.Sigmoid")
    assert activation(folder) == SIGMOID


def test_no_activation_of_a_newer_release_is_not_an_older_ones(folder: Path) -> None:
    """sentence-transformers 6.2 takes its default then."""
    config(
        folder,
        sentence_transformers={"activation_fn": None, "version": "5.0"},
        sbert_ce_default_activation_function="torch.nn.modules.linear.Identity",
    )
    assert activation(folder) == SIGMOID


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("modules.json", [{"type": "x.Dense", "path": "a"}] * 33, "has 33 modules; at most 32"),
        ("modules.json", [{"type": "x.Dense", "path": "a\0b"}], "is no folder's name"),
        ("modules.json", [{"type": "x.Dense", "path": "a" * 256}], "is no folder's name"),
        (SETTINGS, {"prompts": {"q": "x" * 16_385}}, "prompts.q has 16385 characters; at most"),
    ],
    ids=["modules", "path", "long-path", "prompt"],
)
def test_what_is_far_too_much_is_refused_before_it_is_used(
    folder: Path, name: str, content: object, says: str
) -> None:
    put(folder, name, content)
    refused(folder, name, says)


def test_a_default_prompt_that_leaves_no_room_is_refused(folder: Path) -> None:
    modules(folder, f"{ST}.models.Transformer")
    said = {"prompts": {"q": "a " * 500}, "default_prompt_name": "q"}
    put(folder, SETTINGS, {"model_type": "CrossEncoder", **said})
    refused(folder, "the prompt before every query has 500 tokens", "default_prompt_name")


def test_two_modules_of_one_name_are_refused(folder: Path) -> None:
    listed = [{"type": f"x.{kind}", "path": kind, "name": "1"} for kind in ("Pooling", "Dense")]
    put(folder, "modules.json", listed)
    refused(folder, "modules.json", "two modules have the name '1'")


@pytest.mark.parametrize("key", list(PLACES))
@pytest.mark.parametrize("name", ["torch.nn.modules.activation.Tanh", "mine.Scale"])
def test_another_activation_is_refused_by_its_key(folder: Path, key: str, name: str) -> None:
    PLACES[key](folder, name)
    refused(folder, key, name, "json")


@pytest.mark.parametrize("key", list(PLACES))
def test_identity_is_followed_and_said_at_start(folder: Path, key: str) -> None:
    """As the most used cross-encoders have it."""
    PLACES[key](folder, "torch.nn.modules.linear.Identity")
    loaded = opened(folder)
    assert loaded.model.card.activation == RAW
    assert loaded.model.relevance(-11.25) == -11.25
    assert any(key in each and 'score = "sigmoid"' in each for each in loaded.warnings)


@pytest.mark.parametrize(("score", "found"), [("sigmoid", SIGMOID), ("raw", RAW)])
@pytest.mark.parametrize("said", ["Sigmoid", "Tanh"])
def test_the_operator_chooses_the_scale(
    folder: Path, score: Score, found: Activation, said: str
) -> None:
    say_newest(folder, f"torch.nn.modules.activation.{said}")
    loaded = opened(folder, options=LoadOptions(score=score))
    assert loaded.model.card.activation == found
    assert not any("activation_fn" in each for each in loaded.warnings)


@pytest.mark.parametrize("score", ["cosine", "mean"])
def test_a_scale_of_another_kind_is_refused(folder: Path, score: Score) -> None:
    with pytest.raises(StartError, match=f'score = "{score}".*"sigmoid" or "raw"'):
        opened(folder, options=LoadOptions(score=score))


def test_identity_of_a_folder_that_was_not_saved_whole_is_refused(folder: Path) -> None:
    """sentence-transformers would answer with the sigmoid."""
    put(folder, SETTINGS, {"activation_fn": "torch.nn.modules.linear.Identity"})
    refused(folder, SETTINGS, "activation_fn", "modules.json")


def test_the_sigmoid_of_each_of_two_labels_is_refused(folder: Path) -> None:
    """Its order is by one label; ours is by the difference of both."""
    config(folder, id2label={"0": "a", "1": "b"})
    say_newest(folder, "torch.nn.modules.activation.Sigmoid")
    refused(folder, SETTINGS, "activation_fn", "each of two labels")


# sentence_bert_config.json


@pytest.mark.parametrize(
    "keys",
    [
        {"max_seq_length": 40},
        {"processor_kwargs": {"model_max_length": 40}},
        {"tokenizer_args": {"model_max_length": 40}, "max_seq_length": 50},
    ],
    ids=str,
)
def test_the_transformers_own_window_counts(folder: Path, keys: dict[str, Any]) -> None:
    say_newest(folder)
    put(folder, "sentence_bert_config.json", keys)
    assert opened(folder).model.card.window_tokens == 40


@pytest.mark.parametrize(
    "keys", [{"processor_kwargs": {"model_max_length": "x"}}, {"max_seq_length": 0}, {"new": 1}]
)
def test_what_it_cannot_mean_is_refused(folder: Path, keys: dict[str, Any]) -> None:
    say_newest(folder)
    put(folder, "sentence_bert_config.json", keys)
    refused(folder, "sentence_bert_config.json")


def test_a_catalog_name_has_the_window_and_tokens_of_its_card(folder: Path) -> None:
    say_newest(folder, **PROMPT)
    put(folder, "sentence_bert_config.json", {"config_kwargs": {"hidden_act": "relu"}})
    with pytest.raises(StartError, match="config_kwargs"):
        opened(folder)
    assert opened(folder, named_by_catalog=True).model.card.query_prompt == ""


def test_two_labels_have_the_softmax(folder: Path) -> None:
    config(folder, id2label={"0": "a", "1": "b"})
    put(folder, SETTINGS, {"activation_fn": "torch.nn.modules.activation.Softmax"})
    assert activation(folder) == SIGMOID
    config(folder, id2label={"0": "a"})
    with pytest.raises(StartError, match="Softmax"):
        activation(folder)


def test_the_newest_place_wins(folder: Path) -> None:
    say_oldest(folder, "torch.nn.modules.activation.Tanh")
    say_newest(folder, "torch.nn.modules.activation.Sigmoid")
    assert activation(folder) == SIGMOID


def test_a_catalog_name_has_the_recipe_of_its_card(tmp_path: Path) -> None:
    made = decoder.write(tmp_path, decoder.TINY_QWEN3)
    modules(made, f"{ST}.base.models.Transformer", f"{ST}.cross_encoder.modules.LogitScore")
    with pytest.raises(StartError) as caught:
        opened(made, named_by_catalog=True)  # random weights: the probes are what it fails
    assert "modules.json" not in str(caught.value)
    assert "weights are not those of this model" in str(caught.value)
