"""Which fields a target cannot be told change a score of this very request."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec
import pytest

from rerankd.core.request import Content, RerankRequest
from rerankd.dialects import superset
from rerankd.dialects.base import Dialect
from rerankd.dialects.registry import SERVED, callable_dialects
from rerankd.dialects.wire import Options, WireRequest
from rerankd.gateway.losses import CHANGES_SCORES, changing, outgoing, said
from tests.kit.providers import CALLABLE

SHORT = RerankRequest(query=Content(value="q"), documents=(Content(value="a" * 40),))
LONG = dataclasses.replace(SHORT, documents=(Content(value="ä" * 2500),))  # 5000 bytes


@pytest.mark.parametrize(
    ("request_", "values", "implies", "changes"),
    [
        (SHORT, {"instruction": "x"}, {}, True),
        (SHORT, {"max_tokens_per_doc": 40}, {}, False),
        (SHORT, {"max_tokens_per_doc": 39}, {}, True),
        (LONG, {"max_tokens_per_doc": 4999}, {}, True),
        (SHORT, {"max_tokens_per_doc": None}, {"max_tokens_per_doc": 4096}, False),
        (LONG, {"max_tokens_per_doc": None}, {"max_tokens_per_doc": 4096}, True),
        (SHORT, {"max_tokens_per_query": 1}, {}, False),
        (SHORT, {"max_chunks_per_doc": 1}, {}, False),
        (LONG, {"max_chunks_per_doc": 1}, {}, True),
        (LONG, {"overlap_tokens": 0}, {}, True),
        (SHORT, {"truncation": False}, {}, False),
        (LONG, {"truncation": False}, {}, True),
        (LONG, {"truncate_query": True}, {}, False),  # the query is short
        (SHORT, {"rank_fields": ("a",)}, {}, False),  # what they choose is the text
        (SHORT, {"raw_scores": True}, {}, True),
        (SHORT, {"top_n": 1}, {}, False),
        (SHORT, {"return_documents": True}, {}, False),
        (SHORT, {"priority": 3}, {}, False),
    ],
)
def test_what_changes_a_score(
    request_: RerankRequest, values: dict[str, Any], implies: dict[str, Any], *, changes: bool
) -> None:
    request = dataclasses.replace(request_, **values)
    assert changing(request, values, implies) == (frozenset(values) if changes else frozenset())


def test_of_an_image_nobody_knows_how_many_tokens_it_is() -> None:
    image = Content(modality="image", value="x")
    request = dataclasses.replace(SHORT, documents=(image,), max_tokens_per_doc=100)
    assert changing(request, ["max_tokens_per_doc"], {}) == {"max_tokens_per_doc"}


def test_what_a_dialect_assumes_was_not_asked_for() -> None:
    asked = dataclasses.replace(SHORT, max_tokens_per_doc=4096, instruction="x", truncation=False)
    fields = ["max_tokens_per_doc", "instruction", "truncation", "raw_scores"]
    assert said(asked, fields, {"max_tokens_per_doc": 4096}) == {"instruction", "truncation"}


@pytest.mark.parametrize(
    "dialect", [d for d in SERVED.served if isinstance(d, Dialect)], ids=lambda d: d.name
)
def test_a_dialect_assumes_what_its_parser_gives_to_a_body_that_says_nothing(
    dialect: Dialect,
) -> None:
    plain = RerankRequest(query=Content(value="q"), documents=(Content(value="a"),), model="m")
    wire = dialect.encode(plain)
    optional = {f.encode_name for f in msgspec.structs.fields(dialect.body) if not f.required}
    body: dict[str, Any] = msgspec.json.decode(wire.body)
    least = {n: v for n, v in body.items() if n not in optional - NEEDED}
    parsed = dialect.parse(dataclasses.replace(wire, body=msgspec.json.encode(least)), Options())
    for field in dataclasses.fields(RerankRequest):
        if field.name in CHANGES_SCORES:
            assumed = dialect.assumes.get(field.name, field.default)
            assert getattr(parsed, field.name) == assumed, field.name


# A body has these, whatever they are called, though a dialect reads them from several fields.
NEEDED = {"query", "documents", "texts", "passages", "input", "queries", "model"}


def test_all_scores_are_asked_for_and_no_documents() -> None:
    request = dataclasses.replace(
        SHORT, model="ours", top_n=1, return_documents=True, priority=5, scope=b"x"
    )
    sent = outgoing(request, "theirs")
    assert (sent.model, sent.top_n, sent.return_documents) == ("theirs", 1, False)
    assert (sent.priority, sent.scope) == (0, b"")
    assert outgoing(request, "theirs", says_top=False).top_n is None
    untouched = {"model", "top_n", "return_documents", "priority", "scope"}
    for field in dataclasses.fields(RerankRequest):
        if field.name not in untouched:
            assert getattr(sent, field.name) == getattr(request, field.name)


def test_cohere_means_v2_and_pairs_cannot_be_called() -> None:
    known = callable_dialects()
    assert known["cohere"] is known["cohere-v2"]
    assert known["dashscope"].paths[0].startswith("/api/v1/services")
    assert not {"vllm-score", "tei-predict", "llamacpp-texts"} & known.keys()
    assert len(set(map(id, known.values()))) == sum(isinstance(d, Dialect) for d in SERVED.served)


@pytest.mark.parametrize(
    "dialect", [d for d in CALLABLE if "rank_fields" not in d.carries], ids=lambda d: d.name
)
def test_who_has_no_place_for_rank_fields_is_sent_the_text_that_they_choose(
    dialect: Dialect,
) -> None:
    body = {
        "query": "q",
        "documents": [{"title": "chosen \u00e9", "text": "not this", "id": 7}, "plain"],
        "rank_fields": ["title"],
    }
    wire = WireRequest(path="/v1/rerank", body=msgspec.json.encode(body))
    asked = outgoing(superset.parse(wire, Options()), "theirs")
    sent = dialect.outgoing(asked).wire
    found = dialect.parse(dataclasses.replace(sent, params=sent.params), Options())
    assert [document.value for document in found.documents] == ["chosen \u00e9", "plain"]
    assert b"not this" not in sent.body
