"""Images and video through the dialects: every form that a provider has, both ways."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from honoured import planned
from shapes import variants

from rerankd.core.answer import Hit, Ranking
from rerankd.core.errors import InvalidRequest
from rerankd.core.request import Content, RerankRequest
from rerankd.dialects import jina
from rerankd.dialects.base import AnyEndpoint, Dialect, Embedding, ParsedBody
from rerankd.dialects.registry import SERVED
from rerankd.dialects.wire import Envelope, Options, WireRequest

WIRE = Path(__file__).parents[1] / "wire"
ENVELOPE = Envelope(request_id="r1", created=1700000000)
BY_NAME = {found.name: found for found in SERVED.served}
URL, VIDEO = "https://example.com/doc1.jpg", "https://example.com/clip.mp4"
BASE64 = "iVBORw0KGgo="
DATA = f"data:image/png;base64,{BASE64}"
READERS = "Qwen/Qwen3-VL-Reranker-2B, Qwen/Qwen3-VL-Reranker-8B"


def asked(name: str, body: dict[str, Any]) -> RerankRequest:
    wire = WireRequest(path="/x", body=msgspec.json.encode(body), params={"model": "m"})
    parsed = BY_NAME[name].parse_body(wire, Options())
    assert isinstance(parsed, ParsedBody)
    return parsed.requests[0]


def seen(request: RerankRequest) -> list[tuple[str, str]]:
    return [(found.modality, found.value) for found in (request.query, *request.documents)]


def part(kind: str, url: str) -> dict[str, Any]:
    return {"content": [{"type": kind, kind: {"url": url}}]}


MIXED = [{"image": URL}, {"text": "a"}, "b", {"image": BASE64}, {"video": VIDEO}]
MIXED_SEEN = [("image", URL), ("text", "a"), ("text", "b"), ("image", BASE64), ("video", VIDEO)]
PARTS = [part("image_url", URL), part("video_url", VIDEO), part("image_url", DATA), "b"]
PARTS_SEEN = [("image", URL), ("video", VIDEO), ("image", DATA), ("text", "b")]


@pytest.mark.parametrize(
    ("name", "body", "expected"),
    [
        *(
            (
                name,
                {"query": {"image": URL}, "documents": MIXED},
                [("image", URL), *MIXED_SEEN],
            )
            for name in ("superset", "gateway", "siliconflow", "jina", "dashscope-compatible")
        ),
        *(
            (name, {"query": {"text": "q"}, "documents": MIXED}, [("text", "q"), *MIXED_SEEN])
            for name in ("superset", "siliconflow", "jina", "dashscope-compatible")
        ),
        (
            "dashscope",
            {"input": {"query": {"image": URL}, "documents": MIXED}, "parameters": {"fps": 1.0}},
            [("image", URL), *MIXED_SEEN],
        ),
        (
            "vllm",
            {"query": part("image_url", DATA), "documents": PARTS},
            [("image", DATA), *PARTS_SEEN],
        ),
        (
            "vllm",
            {"query": "q", "documents": part("image_url", URL)},
            [("text", "q"), ("image", URL)],
        ),
        (
            "vllm-score",
            {"text_1": part("image_url", DATA), "text_2": PARTS},
            [("image", DATA), *PARTS_SEEN],
        ),
        (
            "nvidia",
            {"query": {"text": "q"}, "passages": [{"image": DATA}, {"text": "a"}]},
            [("text", "q"), ("image", DATA), ("text", "a")],
        ),
    ],
)
def test_every_form_of_a_provider_is_read(name: str, body: Any, expected: Any) -> None:
    assert seen(asked(name, body)) == expected


def test_siliconflow_reads_every_field_beside_images() -> None:
    body = {
        "query": {"image": URL},
        "documents": MIXED,
        "instruction": "i",
        "top_n": 2,
        "return_documents": True,
        "max_chunks_per_doc": 512,
        "overlap_tokens": 20,
    }
    request = asked("siliconflow", body)
    assert (request.instruction, request.top_n, request.return_documents) == ("i", 2, True)
    assert (request.max_chunks_per_doc, request.overlap_tokens) == (512, 20)


@pytest.mark.parametrize("empty", ["text", "image"])
def test_an_empty_one_beside_another_says_nothing(empty: str) -> None:
    both = {"text": "a", "image": URL} | {empty: ""}
    request = asked("superset", {"query": "q", "documents": [both]})
    assert request.documents[0].modality == ({"text", "image"} - {empty}).pop()


@pytest.mark.parametrize("name", ["superset", "siliconflow", "jina", "cohere-v1", "xinference"])
def test_text_and_image_in_one_object_are_refused_not_dropped(name: str) -> None:
    with pytest.raises(InvalidRequest, match=r"documents\[1\]: has image and text"):
        asked(name, {"query": "q", "documents": ["a", {"text": "a", "image": URL}]})


IMAGE = {"image": URL, "id": 7}


@pytest.mark.parametrize(
    ("name", "body", "where"),
    [
        *(
            (
                name,
                {"query": "q", "documents": [IMAGE], "return_documents": True},
                ["results", 0, "document"],
            )
            for name in (
                "superset",
                "gateway",
                "siliconflow",
                "jina",
                "dashscope-compatible",
                "cohere-v1",
                "together",
                "xinference",
                "litellm",
            )
        ),
        (
            "dashscope",
            {
                "input": {"query": "q", "documents": [IMAGE]},
                "parameters": {"return_documents": True},
            },
            ["output", "results", 0, "document"],
        ),
        (
            "pinecone",
            {"query": "q", "documents": [IMAGE]},
            ["data", 0, "document"],
        ),
        (
            "mixedbread",
            {"query": "q", "input": [IMAGE], "return_input": True},
            ["data", 0, "input"],
        ),
    ],
)
def test_an_image_is_echoed_as_it_was_sent(name: str, body: Any, where: list[Any]) -> None:
    found = rendered(name, asked(name, body))
    for key in where:
        found = found[key]
    assert found == IMAGE


def test_vllm_echoes_the_parts_of_an_image() -> None:
    body = {"query": "q", "documents": [part("image_url", URL)]}
    document = rendered("vllm", asked("vllm", body))["results"][0]["document"]
    assert document == {"text": None, "multi_modal": part("image_url", URL)["content"]}


def rendered(name: str, request: RerankRequest) -> Any:
    dialect = BY_NAME[name]
    assert isinstance(dialect, Dialect)
    ranking = Ranking(
        model="m", hits=(Hit(0, 0.5, 0.0),), documents=1, input_tokens=130, image_tokens=120
    )
    return msgspec.json.decode(dialect.render(request, ranking, ENVELOPE).body)


@pytest.mark.parametrize("name", ["superset", "gateway", "siliconflow"])
def test_image_tokens_are_told_where_there_is_a_place(name: str) -> None:
    answer = rendered(name, asked(name, {"query": "q", "documents": [IMAGE]}))
    for counts in (answer["meta"]["tokens"], answer["meta"]["billed_units"]):
        assert (counts["input_tokens"], counts["image_tokens"]) == (130, 120)
    if "usage" in answer:
        details = answer["usage"]["prompt_tokens_details"]
        assert (details["text_tokens"], details["image_tokens"]) == (10, 120)


def test_no_other_answer_has_a_place_for_image_tokens() -> None:
    """A dialect whose answer gets one must fill it."""
    schemas, components = msgspec.json.schema_components(
        [found.answer for found in SERVED.served], ref_template="{name}"
    )
    assert schemas
    places = {name for name, found in components.items() if "image_tokens" in str(found)}
    assert places == {"Tokens", "BilledUnits", "PromptTokens"}  # the superset's


def images_of(dialect: AnyEndpoint) -> bool:
    """Whether a query or a document of the dialect can be an image."""
    if isinstance(dialect, Embedding):  # of texts alone
        return False
    found = (planned(dialect, body) for _, _, body in variants(dialect.body))
    asked = [one for some in found for one in some or () if isinstance(one, RerankRequest)]
    return any(kind == "image" for one in asked for kind, _ in seen(one))


def test_without_a_model_for_images_every_dialect_names_some_in_its_own_form() -> None:
    """tests/web/test_wire.py runs the recorded bodies; here: none is missing."""
    carrying = {found.name for found in SERVED.served if images_of(found)}
    recorded: set[str] = set()
    for path in WIRE.glob("*/*image*.json"):
        record = json.loads(path.read_text())
        if READERS in json.dumps(record["expect"]["body"]):
            assert record["expect"]["status"] in (400, 422)
            route = next(r for r in SERVED.routes if r.path == record["path"])
            raw = msgspec.json.encode(record["request"])
            recorded.add(route.by_body(record.get("headers", {}), raw).name)
    assert carrying == recorded


def test_jina_is_sent_images_and_no_video() -> None:
    image = Content(modality="image", value=URL)
    request = RerankRequest(query=image, documents=(image, Content(value="a")))
    sent = msgspec.json.decode(jina.DIALECT.outgoing(request).wire.body)
    assert (sent["query"], sent["documents"]) == ({"image": URL}, [{"image": URL}, "a"])
    video = RerankRequest(query=image, documents=(Content(modality="video", value=VIDEO),))
    with pytest.raises(InvalidRequest, match=r"documents\[0\]: is video"):
        jina.DIALECT.outgoing(video)
