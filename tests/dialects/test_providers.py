"""What single providers have and the properties of all dialects do not show."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from rerankd.core.answer import Hit, Ranking
from rerankd.core.errors import InvalidRequest, UnknownModel, UnknownPath
from rerankd.core.request import Content, RerankRequest
from rerankd.dialects import (
    deepinfra,
    fireworks,
    litellm,
    nvidia,
    pinecone,
    together,
    vllm,
    vllm_score,
    xinference,
)
from rerankd.dialects.wire import Envelope, Options, WireAnswer, WireRequest

ENVELOPE = Envelope(request_id="r1", created=1700000000)
PNG = "data:image/png;base64,AAAA"


def wire(body: dict[str, Any], **params: str) -> WireRequest:
    return WireRequest(path="/x", body=msgspec.json.encode(body), params=params)


def ranked(*scores: float) -> Ranking:
    hits = [Hit(i, score, score) for i, score in enumerate(scores)]
    hits.sort(key=lambda hit: -hit.score)
    return Ranking(model="m", hits=tuple(hits), documents=len(scores), input_tokens=7)


@pytest.mark.parametrize(
    ("parts", "found"),
    [
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], ("text", "a\nb")),
        ([{"type": "image_url", "image_url": {"url": PNG}}], ("image", PNG)),
        (
            [{"type": "video_url", "video_url": {"url": "https://x.y/z"}}],
            ("video", "https://x.y/z"),
        ),
    ],
)
def test_vllm_reads_content_parts(parts: list[Any], found: tuple[str, str]) -> None:
    request = vllm.parse(wire({"query": "q", "documents": {"content": parts}}), Options())
    assert [(d.modality, d.value) for d in request.documents] == [found]


@pytest.mark.parametrize(
    "parts",
    [
        [],
        ["a"],
        [{"type": "audio_url", "audio_url": {"url": "x"}}],
        [{"type": "image_url", "image_url": PNG}, {"type": "text", "text": "a"}],
    ],
)
def test_vllm_refuses_other_parts_and_names_the_document(parts: list[Any]) -> None:
    with pytest.raises(InvalidRequest, match=r"documents\[0\]"):
        vllm.parse(wire({"query": "q", "documents": [{"content": parts}]}), Options())


def test_vllm_takes_the_instruction_of_the_template_and_nothing_else() -> None:
    base = {"query": "q", "documents": ["a"]}
    said = vllm.parse(wire(base | {"chat_template_kwargs": {"instruction": "i"}}), Options())
    assert said.instruction == "i"
    with pytest.raises(InvalidRequest, match="chat_template_kwargs"):
        vllm.parse(wire(base | {"chat_template_kwargs": {"thinking": True}}), Options())


def test_vllm_score_asks_each_query_once_and_answers_in_order() -> None:
    body = {"text_1": ["q", "p", "q"], "text_2": ["a", "b", "c"]}
    plan = vllm_score.parse_pairs(wire(body), Options())
    assert [request.query.value for request in plan.requests] == ["q", "p"]
    answer = msgspec.json.decode(plan.render([ranked(0.1, 0.3), ranked(0.2)], ENVELOPE).body)
    assert [pair["score"] for pair in answer["data"]] == [0.1, 0.2, 0.3]
    assert answer["usage"]["total_tokens"] == 14


@pytest.mark.parametrize(
    "kwargs", ['{"top_n": 2}', '{"speed": 1}', "[1]", "{", '{"instruction": ""}']
)
def test_xinference_kwargs_that_no_field_says_are_refused(kwargs: str) -> None:
    with pytest.raises(InvalidRequest, match="kwargs"):
        xinference.parse(wire({"query": "q", "documents": ["a"], "kwargs": kwargs}), Options())


def test_xinference_kwargs_may_repeat_the_fields_and_add_an_instruction() -> None:
    body = {"query": "q", "documents": ["a"], "top_n": 2}
    request = xinference.parse(
        wire(body | {"kwargs": '{"top_n": 2, "instruction": "i", "return_len": null}'}), Options()
    )
    assert (request.top_n, request.instruction) == (2, "i")


def test_deepinfra_pairs_are_scored_in_their_order() -> None:
    body = {"queries": ["q", "p", "q"], "documents": ["a", "b", "c"]}
    plan = deepinfra.DIALECT.parse_body(wire(body, model="m"), Options())
    assert [[d.value for d in r.documents] for r in plan.requests] == [["a", "c"], ["b"]]
    answer = msgspec.json.decode(plan.render([ranked(0.1, 0.3), ranked(0.2)], ENVELOPE).body)
    assert answer["scores"] == [0.1, 0.2, 0.3]


def test_deepinfra_reads_an_answer_with_nulls_in_its_status() -> None:
    body = b'{"scores":[0.1,0.9],"input_tokens":3,"inference_status":{"tokens_generated":null}}'
    request = RerankRequest(query=Content(value="q"), documents=(Content(value="a"),) * 2, top_n=1)
    found = deepinfra.DIALECT.ranking(WireAnswer(status=200, body=body), request)
    assert [(hit.index, hit.score) for hit in found.hits] == [(1, 0.9)]


@pytest.mark.parametrize("sent", ["fireworks/m", "m"])
def test_fireworks_leaves_its_own_name_away(sent: str) -> None:
    body = {"model": sent, "query": "q", "documents": ["a"]}
    assert fireworks.parse(wire(body), Options()).model == "m"


def test_nvidia_takes_the_model_of_the_path_unless_the_body_has_one() -> None:
    body: dict[str, Any] = {"query": {"text": "q"}, "passages": [{"text": "a"}]}
    assert nvidia.parse(wire(body, model="org/path"), Options()).model == "org/path"
    in_body = nvidia.parse(wire(body | {"model": "m"}, model="org/path"), Options())
    assert in_body.model == "m"
    assert not in_body.truncation
    assert nvidia.parse(wire(body | {"truncate": "END"}), Options()).truncation


@pytest.mark.parametrize("passage", [{}, {"text": "a", "image": PNG}])
def test_nvidia_passages_are_a_text_or_an_image(passage: dict[str, str]) -> None:
    body = {"query": {"text": "q"}, "passages": [{"text": "", "image": PNG}, passage]}
    with pytest.raises(InvalidRequest, match=r"passages\[1\]"):
        nvidia.parse(wire(body), Options())


def test_pinecone_echoes_documents_as_they_were_sent() -> None:
    documents: list[Any] = ["a", {"id": 1, "summary": "b"}]
    body = {"query": "q", "documents": documents[1:], "rank_fields": ["summary"]}
    request = pinecone.parse(wire(body), Options())
    answer = msgspec.json.decode(pinecone.render(request, ranked(0.5), ENVELOPE).body)
    assert answer["data"][0]["document"] == documents[1]
    text = pinecone.parse(wire({"query": "q", "documents": documents[:1]}), Options())
    answer = msgspec.json.decode(pinecone.render(text, ranked(0.5), ENVELOPE).body)
    assert answer["data"][0]["document"] == {"text": "a"}


def test_together_tells_an_unknown_model_from_an_unknown_path() -> None:
    codes = [
        msgspec.json.decode(together.render_error(error, ENVELOPE, Options()).body)["error"]["code"]
        for error in (UnknownModel("model: no"), UnknownPath("404 page not found"))
    ]
    assert codes == ["model_not_available", None]


@pytest.mark.parametrize(
    ("meta", "tokens"),
    [
        ({"billed_units": {"total_tokens": 36}, "tokens": {}}, 36),  # as it gives Jina's
        (
            {"billed_units": {"search_units": 1, "total_tokens": 9}, "tokens": {"input_tokens": 7}},
            7,
        ),
        ({"billed_units": {"search_units": 1}, "tokens": None}, None),
        (None, None),
    ],
)
def test_litellm_tells_tokens_where_its_provider_does(meta: Any, tokens: int | None) -> None:
    body = {"id": "x", "results": [{"index": 0, "relevance_score": 0.5}], "meta": meta}
    request = RerankRequest(query=Content(value="q"), documents=(Content(value="a"),))
    answer = WireAnswer(status=200, body=msgspec.json.encode(body))
    assert litellm.DIALECT.ranking(answer, request).input_tokens == tokens
