"""NVIDIA NIM's POST /v1/ranking: `passages` in, raw logits under `rankings` out.

The hosted path /v1/retrieval/{model}/reranking also takes `top_k`. By default nothing is cut: a
passage or a query that is too long is refused. Source:
docs.nvidia.com/nim/nemo-retriever/text-reranking (reference), package
langchain-nvidia-ai-endpoints 1.5.0 (reranking.py), LiteLLM 1.109.1
(llms/nvidia_nim/rerank/transformation.py); read 2026-11-21.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from rerankd.core.answer import Ranking
from rerankd.core.errors import InvalidRequest, RerankError, UnknownModel
from rerankd.core.request import Content, RerankRequest
from rerankd.dialects import calling, fields
from rerankd.dialects.base import Dialect
from rerankd.dialects.failures import error_headers
from rerankd.dialects.fields import AtLeastOne
from rerankd.dialects.wire import Envelope, Options, WireAnswer, WireRequest


class NvidiaQuery(msgspec.Struct):
    """What is searched for."""

    text: fields.Said


class NvidiaPassage(msgspec.Struct):
    """A document: a text or an image."""

    text: str | None = None
    image: str | None = None


class NvidiaBody(msgspec.Struct):
    """A ranking request."""

    query: Annotated[NvidiaQuery, Meta(description=fields.WHAT_QUERY)]
    passages: Annotated[
        Annotated[list[NvidiaPassage], Meta(extra_json_schema={"minItems": 1})],
        Meta(description="The documents, at least 1."),
    ]
    model: Annotated[str | None, Meta(description=fields.WHAT_MODEL)] = None
    truncate: Annotated[
        Literal["NONE", "END"] | None,
        Meta(
            description="NONE (default): refuse a passage of which something would be cut, and a "
            "query that is too long. END: cut both."
        ),
    ] = None
    top_k: Annotated[AtLeastOne | None, Meta(description=fields.WHAT_TOP)] = None


class NvidiaRanking(msgspec.Struct):
    """One ranked passage."""

    index: int
    logit: float


class NvidiaUsage(msgspec.Struct):
    """Exact counts of the model's own tokenizer."""

    prompt_tokens: int | None
    total_tokens: int | None


class NvidiaAnswer(msgspec.Struct):
    """A ranking, best first."""

    rankings: list[NvidiaRanking]
    usage: NvidiaUsage | None = None


class NvidiaError(msgspec.Struct):
    """What went wrong: `object` and `message` of NIM now, `error` and `detail` of before."""

    object: Literal["error"]
    message: str
    error: str
    detail: str


_HINTS = fields.HINTS | {
    "query": 'Send {"text": "…"} with at least 1 character.',
    "passages": 'Send a list of at least one {"text": "…"}.',
    "truncate": "Send END to cut what is too long, or NONE to refuse it.",
}
_HOSTED = "/v1/retrieval/{model}/reranking"


def parse(wire: WireRequest, options: Options) -> RerankRequest:
    """A NIM body as the canonical request; the model may be in the path. Raises InvalidRequest."""
    body = fields.decode_body(wire.body, NvidiaBody, _HINTS)
    if not body.passages:
        raise InvalidRequest(
            f"passages: at least 1 is needed. {_HINTS['passages']}", param="passages"
        )
    fields.at_most(body.passages, options, "passages")
    return RerankRequest(
        model=body.model or wire.params.get("model"),
        query=fields.query_of(body.query.text, _HINTS["query"]),
        documents=tuple(_passage(found, i) for i, found in enumerate(body.passages)),
        top_n=body.top_k,
        return_documents=False,
        truncation=body.truncate == "END",
        truncate_query=body.truncate == "END",
        raw_scores=True,
    )


def _passage(passage: NvidiaPassage, index: int) -> Content:
    name = f"passages[{index}]"
    if passage.image is not None:
        fields.refuse(passage.text, name, "send a text or an image, not both.")
        return Content(modality="image", value=passage.image)
    if passage.text is None:
        raise InvalidRequest(f'{name}: "text" or "image" is needed.', param=name)
    return Content(value=passage.text)


def render(request: RerankRequest, ranking: Ranking, envelope: Envelope) -> WireAnswer:
    """The ranking as logits."""
    answer = NvidiaAnswer(
        rankings=[NvidiaRanking(hit.index, hit.score) for hit in ranking.hits],
        usage=NvidiaUsage(ranking.input_tokens, ranking.input_tokens),
    )
    return WireAnswer(status=200, body=msgspec.json.encode(answer))


def render_error(error: RerankError, envelope: Envelope, options: Options) -> WireAnswer:
    """The sentence under every key that releases of NIM have; an unknown model is a 404."""
    status = 404 if isinstance(error, UnknownModel) else error.status
    return WireAnswer(
        status=status,
        body=msgspec.json.encode(NvidiaError("error", *[error.message] * 3)),
        headers=error_headers(error),
    )


def encode(request: RerankRequest) -> WireRequest:
    """The request for NIM. Raises InvalidRequest for a video, or a query that is not text."""
    passages: list[dict[str, str]] = []
    for i, document in enumerate(request.documents):
        fields.refuse(
            document.modality == "video", f"documents[{i}]", "is video; NIM reads text and images."
        )
        passages.append({document.modality: document.value})
    body = {
        "model": request.model,
        "query": {"text": calling.as_text(request.query, "query", "NIM")},
        "passages": passages,
        "truncate": "END" if request.truncation else "NONE",
        "top_k": request.top_n,
    }
    if request.top_n is not None and request.model is not None:  # only there is it known
        path = _HOSTED.format(model=request.model)
        return calling.post(path, body, model=request.model)
    return calling.post("/v1/ranking", body)


def _unsaid(request: RerankRequest) -> tuple[str, ...]:
    """NIM cuts passages and query, or neither."""
    return () if request.truncate_query == request.truncation else ("truncate_query",)


def decode(answer: WireAnswer, request: RerankRequest) -> Ranking:
    """NIM's answer as a ranking; it names no model."""
    found = msgspec.json.decode(answer.body, type=NvidiaAnswer)
    return calling.ranking_of(
        request,
        ((ranking.index, ranking.logit) for ranking in found.rankings),
        input_tokens=found.usage.total_tokens if found.usage else None,
    )


DIALECT = Dialect(
    name="nvidia",
    prefix="nvidia",
    paths=("/v1/ranking", _HOSTED, "/ranking", "/v1/rerank", "/rerank"),
    root=("/v1/ranking", _HOSTED),
    summary="NVIDIA NIM's ranking API: logits.",
    body=NvidiaBody,
    answer=NvidiaAnswer,
    errors=dict.fromkeys((400, 401, 402, 403, 404, 408, 413, 429, 500, 502, 503, 504), NvidiaError),
    parse=parse,
    render=render,
    render_error=render_error,
    encode=encode,
    decode=decode,
    carries=frozenset({"model", "top_n", "truncation", "truncate_query"}),
    implies={"raw_scores": True, "return_documents": False},
    unsaid=_unsaid,
    tells=frozenset({"input_tokens"}),
    assumes={"raw_scores": True, "truncation": False},
)
