"""Prompts of decoder rerankers: ids, chunks, refusals, scores, loading."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rerankd.core.errors import InvalidRequest, StartError
from rerankd.core.options import LoadOptions
from rerankd.core.request import Content, RerankRequest
from rerankd.core.score import sigmoid
from rerankd.models import catalog
from rerankd.models.causal_yes_no import CausalYesNo, load_causal_yes_no
from rerankd.models.cross_encoder import CrossEncoder
from rerankd.models.decoder_checkpoint import open_decoder
from rerankd.models.load import Spec, load
from tests.checkpoints.bert import TINY_BERT
from tests.checkpoints.bert import write as write_encoder
from tests.checkpoints.decoder import TINY_QWEN2, TINY_QWEN3, tensors, write
from tests.reference.make_decoder_goldens import INSTRUCTION, PREFIX, SUFFIX

SHAPES = {"qwen3": TINY_QWEN3, "qwen2": TINY_QWEN2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("qwen3"), TINY_QWEN3)


@pytest.fixture(scope="module")
def model(folder: Path) -> CausalYesNo:
    return load_causal_yes_no(folder, name="tiny")


def ask(query: str, *documents: str, **fields: Any) -> RerankRequest:
    return RerankRequest(
        query=Content(value=query), documents=tuple(Content(value=d) for d in documents), **fields
    )


def edit(path: Path, **change: object) -> None:
    fields = json.loads(path.read_text(encoding="utf-8")) | change
    path.write_text(json.dumps(fields), encoding="utf-8")


def ids(folder: Path, *parts: str) -> list[int]:
    """Parts tokenised apart."""
    tokenizer = open_decoder(folder).tokenizer
    return [i for part in parts for i in tokenizer.encode(part, add_special_tokens=False).ids]


@pytest.mark.parametrize(
    "document",
    [
        "Paris",
        "",
        " ",
        "\n\nnew lines",
        "1 2",
        "(a",
        "🙂 emoji",
        "\u0301combining",
        "北京",
        "<think>",
    ],
)
def test_a_row_is_the_published_prompt(model: CausalYesNo, folder: Path, document: str) -> None:
    body = f"<Instruct>: {INSTRUCTION}\n<Query>: what?\n<Document>: {document}"
    (row,) = model.prepare(ask("what?", document)).rows
    assert row.ids.tolist() == ids(folder, PREFIX, body, SUFFIX)


def test_the_callers_instruction_takes_the_place_of_the_default(
    model: CausalYesNo, folder: Path
) -> None:
    (row,) = model.prepare(ask("{query}", "d {x}", instruction="Find {code}")).rows
    body = "<Instruct>: Find {code}\n<Query>: {query}\n<Document>: d {x}"
    assert row.ids.tolist() == ids(folder, PREFIX, body, SUFFIX)


def test_chunks_are_slices_of_the_documents_tokens(model: CausalYesNo, folder: Path) -> None:
    document = " ".join(f"word{i}" for i in range(200))
    whole = model.prepare(ask("q", document)).rows[0].ids
    small = model.with_window(200)
    prepared = small.prepare(ask("q", document, overlap_tokens=10))
    head = whole.size - len(ids(folder, f" {document}", SUFFIX))
    tail = len(ids(folder, SUFFIX))
    start = 0
    for row in prepared.rows:
        chunk = row.ids[head:-tail]
        np.testing.assert_array_equal(row.ids[:head], whole[:head])
        np.testing.assert_array_equal(row.ids[-tail:], whole[-tail:])
        np.testing.assert_array_equal(chunk, whole[head + start : head + start + chunk.size])
        start += 200 - head - tail - min(10, (200 - head - tail) // 4)
    assert len(prepared.rows) > 3
    assert prepared.rows[0].tokens == 200


def test_what_is_cut_is_told_or_refused(model: CausalYesNo) -> None:
    prepared = model.prepare(ask("q", "a b c d e f", "a", max_tokens_per_doc=3))
    assert prepared.truncated == {0}
    assert "1 of 2 documents were cut" in prepared.warnings[0]
    with pytest.raises(InvalidRequest, match=r"documents\[0\] has .* truncation is off"):
        model.prepare(ask("q", "a b c d e f", max_tokens_per_doc=3, truncation=False))


def test_a_query_or_an_instruction_that_is_too_long_is_refused(model: CausalYesNo) -> None:
    small = model.with_window(256)
    with pytest.raises(InvalidRequest, match=r"query has 400 tokens; tiny takes at most") as query:
        small.prepare(ask("q " * 200, "d"))
    assert query.value.param == "query"
    with pytest.raises(InvalidRequest, match=r"instruction has 400 tokens; tiny") as instruction:
        small.prepare(ask("q", "d", instruction="q " * 200))
    assert instruction.value.param == "instruction"
    for tokens in range(1, 256):  # whatever is taken leaves room for the document
        try:
            prepared = small.prepare(ask("1" * tokens, "a document of many words " * 30))
        except InvalidRequest:
            assert tokens > 90
            break
        assert max(row.tokens for row in prepared.rows) <= 256


@pytest.mark.parametrize("field", ["query", "documents", "instruction"])
def test_a_lone_surrogate_is_refused(model: CausalYesNo, field: str) -> None:
    bad = "\ud800"
    with pytest.raises(InvalidRequest, match="not valid Unicode") as refused:
        model.prepare(
            ask(
                bad if field == "query" else "q",
                bad if field == "documents" else "d",
                instruction=bad if field == "instruction" else None,
            )
        )
    assert refused.value.param == field


def test_relevance_is_the_published_normalisation_of_a_catalog_model(tmp_path: Path) -> None:
    folder, name = write(tmp_path, TINY_QWEN2), "mixedbread-ai/mxbai-rerank-base-v2"
    named = load_causal_yes_no(folder, name=name, named_by_catalog=True)
    other = load_causal_yes_no(folder, name=name)
    assert named.relevance(4.5) == 0.5
    assert named.relevance(1.0) == sigmoid(1.0 - 4.5)
    assert "minus 4.5" in named.card.score
    assert other.relevance(1.0) == sigmoid(1.0)
    assert catalog.find(name) is not None
    assert named.card.family.takes_instruction


def test_config_json_decides_the_family(tmp_path: Path) -> None:
    for family, shape in SHAPES.items():
        loaded = load(Spec(name=family, folder=write(tmp_path / family, shape)))
        assert isinstance(loaded.model, CausalYesNo)
    loaded = load(Spec(name="bert", folder=write_encoder(tmp_path / "bert", TINY_BERT)))
    assert isinstance(loaded.model, CrossEncoder)


@pytest.mark.parametrize("family", list(SHAPES))
def test_every_tensor_is_read_as_it_was_written(tmp_path: Path, family: str) -> None:
    shape = SHAPES[family]
    checkpoint = open_decoder(write(tmp_path, shape))
    stored = np.float16 if shape.shards > 1 else np.float32
    for name, tensor in tensors(shape).items():
        got = checkpoint.weights(name.removeprefix("model."))
        np.testing.assert_array_equal(got, tensor.astype(stored).astype(np.float32))
    assert checkpoint.config.tied == (family == "qwen3")
    assert checkpoint.config.rope_theta == 1e6


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"hidden_act": "gelu"}, "hidden_act 'gelu'"),
        ({"rope_parameters": {"rope_type": "yarn", "factor": 4.0}}, "rope type 'yarn'"),
        ({"rope_parameters": None, "rope_scaling": {"type": "linear"}}, "rope type 'linear'"),
        ({"use_sliding_window": True}, "use_sliding_window true"),
        ({"num_key_value_heads": 3}, "num_key_value_heads 3 does not divide"),
        ({"tie_word_embeddings": False}, r"missing 1 \(lm_head.weight\)"),
        ({"model_type": "qwen2"}, "no decoder that is supported"),
        ({"attention_bias": True}, r"missing 12 \(layers.0.self_attn.q_proj.bias"),
    ],
)
def test_what_would_be_computed_wrongly_is_refused(
    tmp_path: Path, change: dict[str, object], said: str
) -> None:
    folder = write(tmp_path, TINY_QWEN3)
    edit(folder / "config.json", **change)
    with pytest.raises(StartError, match=said):
        load(Spec(name="tiny", folder=folder))


def test_an_answer_of_several_tokens_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path, TINY_QWEN3)
    path = folder / "tokenizer.json"
    fields = json.loads(path.read_text(encoding="utf-8"))
    fields["model"]["merges"] = []
    path.write_text(json.dumps(fields), encoding="utf-8")
    with pytest.raises(StartError, match=r"makes 3 tokens of 'yes'"):
        load_causal_yes_no(folder, name="tiny")


def test_a_window_that_is_not_possible_is_refused(folder: Path) -> None:
    for window, said in ((50, "too small"), (50_000, "not possible")):
        with pytest.raises(StartError, match=said):
            load_causal_yes_no(folder, name="tiny", options=LoadOptions(window_tokens=window))


def test_max_tokens_per_query_cuts_the_query_and_says_so(model: CausalYesNo) -> None:
    query = "what is the capital of France and who lives there?"
    tokens = model._encoder.encode(query, "query")  # pyright: ignore[reportPrivateUsage]
    kept = model._encoder.covered(query, 4)  # pyright: ignore[reportPrivateUsage]
    cut = model.prepare(ask(query, "Paris", max_tokens_per_query=4))
    assert cut.warnings == ("query: cut to its first 4 tokens (max_tokens_per_query).",)
    assert cut.rows[0].key() == model.prepare(ask(kept, "Paris")).rows[0].key()
    whole = model.prepare(ask(query, "Paris", max_tokens_per_query=tokens.size))
    assert whole.warnings == ()
    assert whole.rows[0].key() == model.prepare(ask(query, "Paris")).rows[0].key()
    with pytest.raises(InvalidRequest, match="query has"):
        model.prepare(ask(query * 2000, "Paris", max_tokens_per_query=8000))
    assert model.prepare(ask(query * 2000, "Paris", max_tokens_per_query=4)).warnings
