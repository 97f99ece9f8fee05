"""From a request to token rows, and from logits to scores."""

from __future__ import annotations

import dataclasses
import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, processors

from rerankd.core.errors import InvalidRequest, StartError
from rerankd.core.options import LoadOptions
from rerankd.core.request import Content, RerankRequest
from rerankd.core.rows import Prepared
from rerankd.core.score import sigmoid
from rerankd.engines.fake import FakeEngine
from rerankd.models.base import ModelCard
from rerankd.models.checkpoint import open_checkpoint
from rerankd.models.cross_encoder import CrossEncoder, load_cross_encoder, window_of
from rerankd.models.families import CROSS_ENCODER
from rerankd.models.pair_template import derive_template
from rerankd.models.text_encoder import TextEncoder
from tests.checkpoints.bert import TINY_BERT, TINY_XLMR, Shape, write
from tests.checkpoints.made import tokenizer_file

FAMILIES = {"bert": TINY_BERT, "xlm-roberta": TINY_XLMR}


def tokenizer_of(family: str) -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(tokenizer_file(family)))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def model_of(family: str, window: int = 64) -> CrossEncoder:
    tokenizer = tokenizer_of(family)
    template = derive_template(tokenizer, token_types=2 if family == "bert" else 1)
    card = ModelCard(name="m", family=CROSS_ENCODER, window_tokens=window, score="")
    return CrossEncoder(card, FakeEngine(), TextEncoder(tokenizer), template)


MODELS = {family: model_of(family) for family in FAMILIES}


def ask(*documents: str, query: str = "a query", **fields: Any) -> RerankRequest:
    contents = tuple(Content(value=document) for document in documents)
    return RerankRequest(query=Content(value=query), documents=contents, **fields)


def prepare(family: str, *documents: str, **fields: Any) -> Prepared:
    return MODELS[family].prepare(ask(*documents, **fields))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_pair_is_built_as_the_tokenizer_builds_it(family: str) -> None:
    (row,) = prepare(family, "the document").rows
    pair = tokenizer_of(family).encode("a query", "the document")
    assert row.ids.tolist() == pair.ids
    assert row.ids.dtype == np.int32
    if family == "bert":
        assert [int(i >= row.second) for i in range(row.tokens)] == pair.type_ids
    else:
        assert row.second == row.tokens


@settings(max_examples=60)
@given(st.text(max_size=20), st.lists(st.text(max_size=200), min_size=1, max_size=4))
def test_any_text_gives_rows_within_the_window_for_every_document(
    query: str, documents: list[str]
) -> None:
    for model in MODELS.values():
        prepared = model.prepare(ask(*documents, query=query))
        assert sorted(set(prepared.owners)) == list(range(len(documents)))
        assert list(prepared.owners) == sorted(prepared.owners)
        assert all(0 < row.tokens <= 64 for row in prepared.rows)
        assert prepared.input_tokens == sum(row.tokens for row in prepared.rows)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("text", ["", " ", "\n\t "])
def test_an_empty_document_or_query_still_gives_a_row(family: str, text: str) -> None:
    assert len(prepare(family, text).rows) == 1
    assert len(prepare(family, text, query=text).rows) == 1


@pytest.mark.parametrize("family", FAMILIES)
def test_chunks_are_slices_of_the_documents_own_ids(family: str) -> None:
    document = " ".join(f"word{i}" for i in range(80))
    ids = tokenizer_of(family).encode(document, add_special_tokens=False).ids
    empty = prepare(family, "").rows[0].tokens
    room = 64 - empty
    prepared = prepare(family, document, overlap_tokens=7)
    start = 0
    suffix = 1
    for row in prepared.rows:
        chunk = row.ids[empty - suffix : row.tokens - suffix].tolist()
        assert chunk == ids[start : start + room]
        start += room - 7
    assert prepared.truncated == frozenset()
    assert prepared.warnings == ()


def test_max_chunks_of_one_is_plain_truncation_and_is_reported() -> None:
    prepared = prepare("bert", "short", "long " * 200, max_chunks_per_doc=1)
    assert prepared.owners == (0, 1)
    assert prepared.truncated == {1}
    assert "1 of 2 documents were cut" in prepared.warnings[0]


def test_max_tokens_per_doc_cuts_before_chunking() -> None:
    prepared = prepare("bert", "long " * 200, "tiny", max_tokens_per_doc=5)
    empty = prepare("bert", "").rows[0].tokens
    assert prepared.rows[0].tokens == empty + 5
    assert prepared.truncated == {0}


@pytest.mark.parametrize("limit", [{"max_chunks_per_doc": 1}, {"max_tokens_per_doc": 5}])
def test_with_truncation_off_a_document_that_would_lose_tokens_is_refused(
    limit: dict[str, int],
) -> None:
    with pytest.raises(InvalidRequest, match=r"documents\[1\] has 200 tokens") as error:
        prepare("bert", "ok", "the " * 200, truncation=False, **limit)
    assert error.value.param == "documents"


def test_with_truncation_off_chunks_that_cover_the_document_are_fine() -> None:
    prepared = prepare("bert", "the " * 200, truncation=False)
    assert len(prepared.rows) > 1


def test_a_query_over_three_quarters_of_the_window_is_refused_with_the_numbers() -> None:
    assert prepare("bert", "x", query="the " * 48).rows
    with pytest.raises(InvalidRequest, match="query has 49 tokens; m takes at most 48") as error:
        prepare("bert", "x", query="the " * 49)
    assert error.value.param == "query"


def test_an_instruction_is_ignored_and_the_answer_says_so() -> None:
    plain, instructed = prepare("bert", "x"), prepare("bert", "x", instruction="be strict")
    assert instructed.rows[0].key() == plain.rows[0].key()
    assert instructed.warnings == ("m has no place for an instruction; it was ignored.",)


@pytest.mark.parametrize(
    ("query", "documents", "field"),
    [("a\ud800", ["b"], "query"), ("a", ["b", "c\udfff"], r"documents\[1\]")],
)
def test_a_lone_surrogate_names_its_field(query: str, documents: list[str], field: str) -> None:
    with pytest.raises(InvalidRequest, match=f"^{field} is not valid Unicode") as error:
        prepare("bert", *documents, query=query)
    assert error.value.param in {"query", "documents"}


def test_other_modalities_are_refused() -> None:
    image = Content(modality="image", value="https://example.org/a.png")
    request = dataclasses.replace(ask("a"), documents=(image,))
    with pytest.raises(InvalidRequest, match=r"documents\[0\] is image"):
        MODELS["bert"].prepare(request)


def test_prepare_gives_the_same_in_many_threads() -> None:
    requests = [ask("the document " * n, query=f"query {n}") for n in range(1, 33)]
    wanted = [[row.key() for row in MODELS["bert"].prepare(each).rows] for each in requests]
    with ThreadPoolExecutor(8) as pool:
        got = pool.map(MODELS["bert"].prepare, requests * 4)
        for i, prepared in enumerate(got):
            assert [row.key() for row in prepared.rows] == wanted[i % len(wanted)]


def test_one_label_is_the_logit_and_two_are_their_difference() -> None:
    model = MODELS["bert"]
    assert model.logit(np.array([[1.5], [-2.0]], dtype=np.float32)).tolist() == [1.5, -2.0]
    two = model.logit(np.array([[1.0, 3.0], [0.5, 0.25]], dtype=np.float32))
    assert two.tolist() == [2.0, -0.25]
    assert two.dtype == np.float64
    odds = math.exp(3.0) / (math.exp(1.0) + math.exp(3.0))
    assert model.relevance(2.0) == pytest.approx(odds, abs=1e-12)


@given(st.floats(-1e308, 1e308), st.floats(-1e308, 1e308))
def test_relevance_is_a_monotone_float64_sigmoid(a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert 0.0 <= sigmoid(low) <= sigmoid(high) <= 1.0
    assert sigmoid(20.0) < sigmoid(20.0001) < 1.0  # float32 would tie here


@pytest.mark.parametrize("shape", FAMILIES.values(), ids=FAMILIES)
def test_the_window_is_the_catalogs_or_the_smaller_of_both_limits(
    tmp_path: Path, shape: Shape
) -> None:
    checkpoint = open_checkpoint(write(tmp_path, shape))
    assert window_of(checkpoint, None) == 128
    assert window_of(dataclasses.replace(checkpoint, model_max_length=100), None) == 100
    assert window_of(dataclasses.replace(checkpoint, model_max_length=None), None) == 128
    assert window_of(checkpoint, 64) == 64
    for impossible in (129, 15):
        with pytest.raises(StartError, match="16 to 128"):
            window_of(checkpoint, impossible)


def test_a_loaded_folder_names_itself_and_answers(tmp_path: Path) -> None:
    model = load_cross_encoder(
        write(tmp_path, TINY_BERT), name="tiny", options=LoadOptions(window_tokens=32)
    )
    assert model.card.name == "tiny"
    assert model.card.window_tokens == 32
    assert model.engine.info.precision == "fp32"
    rows = model.prepare(ask("a document", "another")).rows
    assert model.engine.forward(rows).shape == (2, 1)


@pytest.mark.parametrize(
    ("single", "pair"),
    [
        ("[CLS] $A [SEP]", "[CLS] $B [SEP] $A [SEP]"),
        ("[CLS] $A [SEP]", "[CLS] $A [SEP] $A $B [SEP]"),
        ("[CLS] $A [SEP]", "[CLS]:1 $A:1 [SEP]:1 $B:0 [SEP]:0"),
    ],
    ids=["document first", "query twice", "types reversed"],
)
def test_a_template_that_is_no_pair_of_query_and_document_is_refused(
    single: str, pair: str
) -> None:
    tokenizer = tokenizer_of("bert")
    tokenizer.post_processor = processors.TemplateProcessing(
        single=single, pair=pair, special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    with pytest.raises(StartError, match=r"tokenizer\.json"):
        derive_template(tokenizer, token_types=2)


CUT_TO_3 = "query: cut to its first 3 tokens (max_tokens_per_query)."


@pytest.mark.parametrize("family", FAMILIES)
def test_max_tokens_per_query_cuts_the_query_and_says_so(family: str) -> None:
    query = "the long query about the capital of France"
    tokens = tokenizer_of(family).encode(query, add_special_tokens=False).ids
    cut = prepare(family, "the document", query=query, max_tokens_per_query=3)
    whole = prepare(family, "the document", query=query, max_tokens_per_query=len(tokens))
    plain = prepare(family, "the document", query=query)
    assert cut.warnings == (CUT_TO_3,)
    assert cut.rows[0].ids.tolist()[1:4] == tokens[:3]
    assert cut.rows[0].tokens == plain.rows[0].tokens - len(tokens) + 3
    assert (whole.warnings, plain.warnings) == ((), ())
    assert whole.rows[0].key() == plain.rows[0].key()
    long = prepare(family, "the document", query="a b " * 100, max_tokens_per_query=3)
    assert long.warnings == (CUT_TO_3,)  # refused without
