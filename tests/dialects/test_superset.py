"""The superset's fields, ranges and defaults, and the look of its answers and errors."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerankd.core.answer import Hit, Ranking
from rerankd.core.errors import (
    BodyTooLarge,
    DeadlineExceeded,
    EngineFailed,
    Forbidden,
    InvalidRequest,
    MethodNotAllowed,
    Overloaded,
    RateLimited,
    RerankError,
    Unauthorized,
    UnknownModel,
    UnknownPath,
)
from rerankd.core.request import Content, RerankRequest
from rerankd.dialects import superset
from rerankd.dialects.superset_schema import Body
from rerankd.dialects.wire import Envelope, Options, WireRequest

GOOD: dict[str, Any] = {"query": "q", "documents": ["a", "b"]}
OPTIONS = Options()
Json = dict[str, Any]
ENVELOPE = Envelope(request_id="r1", created=1700000000)


def post(raw: bytes) -> WireRequest:
    return WireRequest(path="/v1/rerank", body=raw)


def parse(**change: Any) -> RerankRequest:
    return superset.parse(post(msgspec.json.encode(GOOD | change)), OPTIONS)


def test_defaults() -> None:
    request = parse()
    assert request == RerankRequest(
        query=Content(value="q"),
        documents=(Content(value="a"), Content(value="b")),
        return_documents=True,
        max_chunks_per_doc=1024,
        overlap_tokens=80,
    )


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"documents": "one"}, {"documents": (Content(value="one"),)}),
        ({"documents": [""]}, {"documents": (Content(value=""),)}),
        ({"query": {"text": "q2"}}, {"query": Content(value="q2", echo={"text": "q2"})}),
        ({"top_n": 7}, {"top_n": 7}),
        ({"top_k": 7}, {"top_n": 7}),
        ({"top_n": 3, "top_k": 7}, {"top_n": 3}),
        ({"top_n": None, "top_k": 7}, {"top_n": 7}),
        ({"instruct": "i"}, {"instruction": "i"}),
        ({"instruct": ""}, {"instruction": None}),
        ({"instruction": "a", "instruct": "b"}, {"instruction": "a"}),
        ({"max_chunks_per_doc": 1}, {"max_chunks_per_doc": 1}),
        ({"max_chunk_per_doc": 5}, {"max_chunks_per_doc": 5}),
        ({"overlap_tokens": 0}, {"overlap_tokens": 0}),
        ({"overlap_tokens": 80}, {"overlap_tokens": 80}),
        ({"return_documents": "false"}, {"return_documents": False}),
        ({"return_documents": "true"}, {"return_documents": True}),
        ({"return_documents": False}, {"return_documents": False}),
        ({"truncation": False}, {"truncation": False}),
        ({"raw_scores": "True"}, {"raw_scores": True}),
        ({"max_tokens_per_doc": 9}, {"max_tokens_per_doc": 9}),
        ({"priority": 3}, {"priority": 3}),
        ({"priority": -3}, {"priority": 0}),
        ({"model": "m"}, {"model": "m"}),
        ({"messages": [{"role": "user"}], "temperature": 1, "user": 5}, {}),
    ],
    ids=str,
)
def test_a_field_means(change: dict[str, Any], expected: dict[str, Any]) -> None:
    request = parse(**change)
    for name, value in expected.items():
        assert getattr(request, name) == value


def test_null_is_absent_for_every_optional_field() -> None:
    optional = [f.name for f in msgspec.structs.fields(Body) if not f.required]
    assert len(optional) == 17
    absent: dict[str, Any] = dict.fromkeys(optional)
    assert parse(**absent) == parse()


def test_media_and_object_documents() -> None:
    request = parse(
        documents=[{"text": "t", "id": 7}, {"image": "https://x/y.png"}, {"video": "v"}, "s"]
    )
    assert [(d.modality, d.value) for d in request.documents] == [
        ("text", "t"),
        ("image", "https://x/y.png"),
        ("video", "v"),
        ("text", "s"),
    ]


def test_rank_fields_choose_and_order_the_keys() -> None:
    documents = [{"title": "T", "body": "B", "n": 5}, {"body": "only"}]
    request = parse(documents=documents, rank_fields=["body", "title"])
    assert [d.value for d in request.documents] == ["body: B\ntitle: T", "only"]


BAD_FIELDS: list[tuple[Json, str, str]] = [
    ({"query": ""}, "query", "at least 1 character"),
    ({"query": {"text": ""}}, "query", "at least 1 character"),
    ({"query": None}, "query", "got null"),
    ({"query": 5}, "query", "expected string"),
    ({"query": {"t": "x"}}, "query", "needs"),
    ({"documents": []}, "documents", "at least 1 document"),
    ({"documents": None}, "documents", "got null"),
    ({"documents": {"text": "a"}}, "documents", "got object"),
    ({"documents": ["a", 5]}, "documents[1]", "got int"),
    ({"documents": ["a", None]}, "documents[1]", "got null"),
    ({"documents": ["a", ["b"]]}, "documents[1]", "got array"),
    ({"documents": [{"text": 5}]}, "documents[0].text", "expected a string"),
    ({"documents": [{}]}, "documents[0]", "needs"),
    ({"documents": [{"a": "x"}], "rank_fields": ["b"]}, "documents[0]", "rank_fields b"),
    ({"top_n": 0}, "top_n", "int >= 1"),
    ({"top_n": -1}, "top_n", "int >= 1"),
    ({"top_n": "three"}, "top_n", "got string"),
    ({"top_n": 1.5}, "top_n", "got float"),
    ({"top_n": True}, "top_n", "got bool"),
    ({"top_k": 0}, "top_k", "int >= 1"),
    ({"instruction": ""}, "instruction", "length >= 1"),
    ({"max_chunks_per_doc": 0}, "max_chunks_per_doc", "int >= 1"),
    ({"overlap_tokens": 81}, "overlap_tokens", "int <= 80"),
    ({"overlap_tokens": -1}, "overlap_tokens", "int >= 0"),
    ({"return_documents": "yes"}, "return_documents", "true or false"),
    ({"return_documents": 1}, "return_documents", "got int"),
    ({"model": 5}, "model", "/v1/models"),
    ({"rank_fields": "a"}, "rank_fields", "expected array"),
]


@pytest.mark.parametrize(("change", "param", "says"), BAD_FIELDS, ids=str)
def test_a_bad_field_is_named(change: dict[str, Any], param: str, says: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse(**change)
    assert refused.value.param == param
    assert str(refused.value).startswith(param)
    assert says in str(refused.value)


@pytest.mark.parametrize("missing", ["query", "documents"])
def test_a_missing_field_is_named(missing: str) -> None:
    raw = msgspec.json.encode({k: v for k, v in GOOD.items() if k != missing})
    with pytest.raises(InvalidRequest, match=f"{missing}: this field is required") as refused:
        superset.parse(post(raw), OPTIONS)
    assert refused.value.param == missing


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"x"',
        b'{"query":"q","documents":["a"],"top_n":NaN}',
        b'{"query":"\\ud800","documents":["a"]}',
        b'{"query":"\xff","documents":["a"]}',
        b'{"query":"q","documents":["a"]} x',
        b'{"query":"q","documents":' + b"[" * 200_000,
        b'{"query":"q","documents":["a"],"x":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
        b'{"query":"q","documents":["a"],"top_n":1e400}',
        b"\x00\x01\x02",
    ],
    ids=lambda raw: repr(raw[:40]),
)
def test_what_is_not_a_request_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidRequest):
        superset.parse(post(raw), OPTIONS)


@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(
                    ["query", "documents", "top_n", "text", "image", "overlap_tokens", "x"]
                ),
                inner,
                max_size=5,
            )
        ),
        max_leaves=12,
    ).map(msgspec.json.encode)
)
def test_any_body_is_a_request_or_a_clear_refusal(raw: bytes) -> None:
    try:
        request = superset.parse(post(raw), OPTIONS)
    except InvalidRequest as refused:
        said = str(refused)
    else:
        said = request.query.value
        assert request.documents
    assert said


@pytest.mark.parametrize("name", sorted(superset.NO_ECHO))
def test_documents_are_left_out_by_default_for_siliconflow_names(name: str) -> None:
    assert parse(model=name).return_documents is False
    assert parse(model=name, return_documents=True).return_documents is True


@pytest.mark.parametrize(
    "name", [None, "qwen3-rerank", "rerankd-lexical", "baai/bge-reranker-v2-m3"]
)
def test_documents_are_echoed_by_default_for_every_other_name(name: str | None) -> None:
    assert parse(model=name).return_documents is True


def test_the_operator_can_set_the_default() -> None:
    raw = msgspec.json.encode(GOOD)
    assert superset.parse(post(raw), Options(return_documents=False)).return_documents is False


def render(request: RerankRequest, **change: Any) -> dict[str, Any]:
    hits = (Hit(1, 0.75, 1.0986), Hit(0, 0.5, 0.0, truncated=True))
    ranking = Ranking(model="m", hits=hits, documents=101, input_tokens=42)
    ranking = dataclasses.replace(ranking, **change)
    wire = superset.render(request, ranking, ENVELOPE)
    assert (wire.status, wire.content_type) == (200, "application/json")
    return msgspec.json.decode(wire.body)


def test_the_answer_whole() -> None:
    assert render(parse()) == {
        "id": "r1",
        "object": "rerank",
        "created": 1700000000,
        "model": "m",
        "results": [
            {"index": 1, "relevance_score": 0.75, "document": {"text": "b"}},
            {"index": 0, "relevance_score": 0.5, "document": {"text": "a"}, "truncated": True},
        ],
        "usage": {
            "prompt_tokens": 42,
            "completion_tokens": 0,
            "total_tokens": 42,
            "prompt_tokens_details": {
                "cached_tokens": 0,
                "text_tokens": 42,
                "audio_tokens": 0,
                "image_tokens": 0,
            },
            "completion_tokens_details": {
                "text_tokens": 0,
                "audio_tokens": 0,
                "reasoning_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
            "input_tokens": 42,
            "output_tokens": 0,
            "input_tokens_details": None,
        },
        "meta": {
            "tokens": {"input_tokens": 42, "output_tokens": 0, "image_tokens": 0},
            "billed_units": {
                "input_tokens": 42,
                "output_tokens": 0,
                "image_tokens": 0,
                "search_units": 2,
                "classifications": 0,
            },
        },
    }


def test_documents_are_left_out_when_not_wanted() -> None:
    answer = render(parse(return_documents=False))
    assert all("document" not in result for result in answer["results"])


def test_objects_are_echoed_as_they_were_sent() -> None:
    sent = [{"text": "t", "id": 7}, {"title": "T"}]
    answer = render(parse(documents=sent, rank_fields=["text", "title"]))
    assert [r["document"] for r in answer["results"]] == [
        {"title": "T", "text": "T"},
        {"text": "t", "id": 7},
    ]


def test_warnings_are_in_meta() -> None:
    assert render(parse(), warnings=("w",))["meta"]["warnings"] == ["w"]


def error(raised: RerankError, **options: Any) -> tuple[int, Any, dict[str, str]]:
    wire = superset.render_error(raised, ENVELOPE, Options(**options))
    body: Any = wire.body.decode()
    if wire.content_type == "application/json":
        body = msgspec.json.decode(wire.body)
    return wire.status, body, dict(wire.headers)


def nested(message: str, kind: str, param: str | None, code: int | None) -> dict[str, Any]:
    return {
        "error": {"message": message, "type": kind, "param": param, "code": code},
        "detail": message,
        "request_id": "r1",
    }


@pytest.mark.parametrize(
    ("raised", "status", "body"),
    [
        (
            InvalidRequest("top_n: no", param="top_n"),
            400,
            {"code": 20015, "message": "top_n: no", "data": None}
            | nested("top_n: no", "invalid_request", "top_n", 20015),
        ),
        (
            UnknownModel("model: no"),
            400,
            {"code": 20012, "message": "model: no", "data": None}
            | nested("model: no", "unknown_model", "model", 20012),
        ),
        (Unauthorized("x"), 401, "Invalid token"),
        (Forbidden("x"), 403, "Forbidden"),
        (UnknownPath("x"), 404, "404 page not found"),
        (
            MethodNotAllowed("use POST", allow="POST"),
            405,
            {"code": 20015, "message": "use POST", "data": None}
            | nested("use POST", "method_not_allowed", None, 20015),
        ),
        (
            BodyTooLarge("big"),
            413,
            {"code": 20015, "message": "big", "data": None}
            | nested("big", "body_too_large", None, 20015),
        ),
        (
            EngineFailed("ours"),
            500,
            {"code": None, "message": "ours", "data": None}
            | nested("ours", "engine_failed", None, None),
        ),
        (
            Overloaded("full", retry_after_s=3),
            503,
            {
                "code": 50505,
                "message": "Model service overloaded. Please try again later.",
                "data": None,
            }
            | nested("full", "overloaded", None, 50505),
        ),
        (DeadlineExceeded("too late"), 504, "too late"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_an_error_looks_as_documented(raised: RerankError, status: int, body: object) -> None:
    assert error(raised)[:2] == (status, body)


@pytest.mark.parametrize("limit", ["RPM", "TPM"])
def test_a_rate_limit_has_no_code_and_names_whom_to_ask_only_when_known(limit: Any) -> None:
    raised = RateLimited(limit, retry_after_s=29.2)
    status, body, headers = error(raised)
    assert (status, headers["retry-after"]) == (429, "30")
    assert "code" not in body
    assert body["message"] == (
        f"Request was rejected due to rate limiting. Details:{limit} limit reached."
    )
    assert error(raised, contact="x@y.z")[1]["message"] == (
        "Request was rejected due to rate limiting. If you want more, please contact x@y.z. "
        f"Details:{limit} limit reached."
    )


def test_headers_of_errors() -> None:
    assert error(Overloaded("x", retry_after_s=0.2))[2] == {"retry-after": "1"}
    assert error(Unauthorized("x"))[2] == {"www-authenticate": "Bearer"}
    assert error(MethodNotAllowed("x", allow="POST"))[2] == {"allow": "POST"}


def test_an_object_nests_as_deep_as_an_answer_can_echo_it() -> None:
    deep: Any = "x"
    for _ in range(60):
        deep = [deep]
    assert parse(documents=[{"text": "a", "more": deep}])
    for _ in range(200):
        deep = [deep]
    with pytest.raises(InvalidRequest, match="nested deeper than 64") as refused:
        parse(documents=["s", {"text": "a", "more": deep}])
    assert refused.value.param == "documents[1]"
