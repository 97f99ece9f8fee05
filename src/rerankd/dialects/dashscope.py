"""DashScope (Alibaba Cloud Model Studio): the native nested format and the flat compatible one.

An error has `code`, `message` and `request_id`; a success never has `code`, which its SDK takes for
an error. Source: alibabacloud.com/help/en/model-studio/text-rerank-api (page of 2026-06-04) and
/error-code (2026-06-23), package dashscope 2.0.2, litellm 1.109.1; read 2026-11-21.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from rerankd.core.answer import Ranking
from rerankd.core.errors import QuotaExceeded, RateLimited, RerankError, UnknownModel
from rerankd.core.request import RerankRequest
from rerankd.dialects import calling, failures, fields
from rerankd.dialects.base import Dialect, Mark
from rerankd.dialects.failures import error_headers
from rerankd.dialects.fields import AtLeastOne, Object, YesNo
from rerankd.dialects.wire import Envelope, Options, WireAnswer, WireRequest

_NATIVE = "/api/v1/services/rerank/text-rerank/text-rerank"
_COMPATIBLE = "/compatible-api/v1/reranks"

Instruct = Annotated[
    str | None, Meta(description="For models with a place for it; an empty string is absent.")
]
Query = Annotated[fields.Said | Object, Meta(description=fields.WHAT_QUERY)]
Documents = Annotated[
    fields.Mixed, Meta(description='At least 1 string, {"text"}, {"image"} or {"video"}.')
]
Echo = Annotated[YesNo | None, Meta(description="Echo the documents, default false.")]
Top = Annotated[AtLeastOne | None, Meta(description=fields.WHAT_TOP)]


class DashScopeInput(msgspec.Struct):
    """What is ranked."""

    query: Query
    documents: Documents


class DashScopeParameters(msgspec.Struct):
    """How."""

    top_n: Top = None
    return_documents: Echo = None
    instruct: Instruct = None
    fps: Annotated[
        float | None, Meta(description="Of videos. Only 1.0: the model says which frames it reads.")
    ] = None


class DashScopeBody(msgspec.Struct):
    """A native rerank request."""

    input: DashScopeInput
    model: Annotated[str | None, Meta(description=fields.WHAT_MODEL)] = None
    parameters: DashScopeParameters | None = None


class DashScopeFlatBody(msgspec.Struct):
    """A compatible rerank request."""

    query: Query
    documents: Documents
    model: Annotated[str | None, Meta(description=fields.WHAT_MODEL)] = None
    top_n: Top = None
    return_documents: Echo = None
    instruct: Instruct = None


class DashScopeResult(msgspec.Struct):
    """One ranked document."""

    index: int
    relevance_score: float
    document: Object | UnsetType = UNSET


class DashScopeUsage(msgspec.Struct):
    """Exact count of the model's own tokenizer."""

    total_tokens: int | None = None


class DashScopeOutput(msgspec.Struct):
    """A ranking, best first."""

    results: list[DashScopeResult]


class DashScopeAnswer(msgspec.Struct):
    """A native answer."""

    output: DashScopeOutput
    usage: DashScopeUsage
    request_id: str


class DashScopeFlatAnswer(msgspec.Struct):
    """A compatible answer."""

    object: Literal["list"]
    results: list[DashScopeResult]
    model: str
    id: str
    usage: DashScopeUsage


class DashScopeError(msgspec.Struct):
    """What went wrong."""

    code: str
    message: str
    request_id: str


class _ReadFlatAnswer(msgspec.Struct):
    results: list[DashScopeResult]
    model: str | None = None
    usage: DashScopeUsage | None = None


_CODES = {
    401: "InvalidApiKey",
    403: "AccessDenied",
    500: "InternalError",
    502: "BadGateway",
    503: "ServiceUnavailable",
    504: "GatewayTimeout",
}
_NO_MODEL = ("ModelNotFound", "Model.NotExist")
_NO_BALANCE = "Arrearage"


def parse(wire: WireRequest, options: Options) -> RerankRequest:
    """A native body as the canonical request. Raises InvalidRequest."""
    body = fields.decode_body(wire.body, DashScopeBody, fields.HINTS)
    said = body.parameters or DashScopeParameters()
    fields.refuse(
        said.fps not in (None, 1.0),
        "parameters.fps",
        "the model says which frames of a video it reads. Send 1.0, or leave it out.",
    )
    return RerankRequest(
        model=body.model or None,
        query=fields.query_of(body.input.query),
        documents=fields.documents_of(body.input.documents, options),
        top_n=said.top_n,
        return_documents=fields.echo(said.return_documents, options, default=False),
        instruction=said.instruct or None,
    )


def parse_flat(wire: WireRequest, options: Options) -> RerankRequest:
    """A compatible body as the canonical request. Raises InvalidRequest."""
    body = fields.decode_body(wire.body, DashScopeFlatBody, fields.HINTS)
    return RerankRequest(
        model=body.model or None,
        query=fields.query_of(body.query),
        documents=fields.documents_of(body.documents, options),
        top_n=body.top_n,
        return_documents=fields.echo(body.return_documents, options, default=False),
        instruction=body.instruct or None,
    )


def _results(request: RerankRequest, ranking: Ranking) -> list[DashScopeResult]:
    return [
        DashScopeResult(
            hit.index,
            hit.score,
            fields.echoed(request.documents[hit.index]) if request.return_documents else UNSET,
        )
        for hit in ranking.hits
    ]


def render(request: RerankRequest, ranking: Ranking, envelope: Envelope) -> WireAnswer:
    """The ranking under `output`."""
    answer = DashScopeAnswer(
        output=DashScopeOutput(_results(request, ranking)),
        usage=DashScopeUsage(ranking.input_tokens),
        request_id=envelope.uuid,
    )
    return WireAnswer(status=200, body=msgspec.json.encode(answer))


def render_flat(request: RerankRequest, ranking: Ranking, envelope: Envelope) -> WireAnswer:
    """The ranking at the top."""
    answer = DashScopeFlatAnswer(
        object="list",
        results=_results(request, ranking),
        model=ranking.model,
        id=envelope.uuid,
        usage=DashScopeUsage(ranking.input_tokens),
    )
    return WireAnswer(status=200, body=msgspec.json.encode(answer))


def render_error(error: RerankError, envelope: Envelope, options: Options) -> WireAnswer:
    """DashScope's code and message; 404 for an unknown model, 400 for a used-up budget."""
    status, code = error.status, _CODES.get(error.status, "InvalidParameter")
    message = "Invalid API-key provided." if status == 401 else error.message
    if isinstance(error, UnknownModel):
        status, code = 404, _NO_MODEL[0]
    elif isinstance(error, QuotaExceeded):
        status, code = 400, _NO_BALANCE
    elif isinstance(error, RateLimited):
        code = f"Throttling.{'AllocationQuota' if error.counts_tokens else 'RateQuota'}"
    body = DashScopeError(code, message, envelope.uuid)
    return WireAnswer(status=status, body=msgspec.json.encode(body), headers=error_headers(error))


def encode(request: RerankRequest) -> WireRequest:
    """The native request."""
    said = {
        "top_n": request.top_n,
        "return_documents": request.return_documents,
        "instruct": request.instruction or None,
    }
    return calling.post(
        _NATIVE,
        {
            "model": request.model,
            "input": {
                "query": calling.as_sent(request.query),
                "documents": calling.documents_of(request),
            },
            "parameters": {name: value for name, value in said.items() if value is not None},
        },
    )


def encode_flat(request: RerankRequest) -> WireRequest:
    """The compatible request."""
    return calling.post(
        _COMPATIBLE,
        {
            "model": request.model,
            "query": calling.as_sent(request.query),
            "documents": calling.documents_of(request),
            "top_n": request.top_n,
            "return_documents": request.return_documents,
            "instruct": request.instruction or None,
        },
    )


def decode(answer: WireAnswer, request: RerankRequest) -> Ranking:
    """A native answer as a ranking. A 200 may carry an error: raises it."""
    if failures.value_of(answer.body, "code") and failures.value_of(answer.body, "output") is None:
        raise decode_error(answer)
    found = msgspec.json.decode(answer.body, type=DashScopeAnswer)
    return calling.ranking_of(
        request,
        ((result.index, result.relevance_score) for result in found.output.results),
        input_tokens=found.usage.total_tokens,
    )


def decode_flat(answer: WireAnswer, request: RerankRequest) -> Ranking:
    """A compatible answer as a ranking. A 200 may carry an error: raises it."""
    if failures.value_of(answer.body, "code") and failures.value_of(answer.body, "results") is None:
        raise decode_error(answer)
    found = msgspec.json.decode(answer.body, type=_ReadFlatAnswer)
    return calling.ranking_of(
        request,
        ((result.index, result.relevance_score) for result in found.results),
        model=found.model,
        input_tokens=found.usage.total_tokens if found.usage else None,
    )


def decode_error(answer: WireAnswer) -> RerankError:
    """DashScope's errors by their code where it has a meaning, else by status."""
    code = str(failures.value_of(answer.body, "code") or "")
    if code in _NO_MODEL:
        return UnknownModel(failures.message_of(answer.body))
    if code == _NO_BALANCE:
        return QuotaExceeded(failures.message_of(answer.body))
    if code.startswith("Throttling"):
        limit = "TPM" if code.endswith("AllocationQuota") else "RPM"
        return RateLimited(limit, retry_after_s=failures.retry_after_s(answer.headers))
    if answer.status == 200:  # a business error: by the status that its code has elsewhere
        status = next((status for status, name in _CODES.items() if name == code), 400)
        answer = WireAnswer(status=status, body=answer.body, headers=answer.headers)
    return failures.error_of(answer)


_ERRORS: dict[int, Any] = dict.fromkeys(
    (400, 401, 403, 404, 408, 413, 429, 500, 502, 503, 504), DashScopeError
)
_CARRIES = frozenset({"model", "top_n", "return_documents", "instruction"})

NATIVE = Dialect(
    name="dashscope",
    prefix="dashscope",
    paths=(_NATIVE, "/rerank", "/v1/rerank"),
    root=(_NATIVE,),
    marks=(
        Mark(
            paths=("/v1/rerank", "/rerank"),
            keys=frozenset({"input", "parameters"}),
            absent=frozenset({"documents", "query"}),
        ),
    ),
    summary="DashScope's rerank API, native.",
    body=DashScopeBody,
    answer=DashScopeAnswer,
    errors=_ERRORS,
    parse=parse,
    render=render,
    render_error=render_error,
    encode=encode,
    decode=decode,
    decode_error=decode_error,
    carries=_CARRIES,
    tells=frozenset({"input_tokens"}),
)

COMPATIBLE = Dialect(
    name="dashscope-compatible",
    prefix="dashscope",
    paths=(_COMPATIBLE, "/v1/reranks", "/reranks"),
    root=(_COMPATIBLE, "/v1/reranks", "/reranks"),
    summary="DashScope's rerank API, compatible.",
    body=DashScopeFlatBody,
    answer=DashScopeFlatAnswer,
    errors=_ERRORS,
    parse=parse_flat,
    render=render_flat,
    render_error=render_error,
    encode=encode_flat,
    decode=decode_flat,
    decode_error=decode_error,
    carries=_CARRIES,
    tells=frozenset({"model", "input_tokens"}),
)

DIALECTS = (NATIVE, COMPATIBLE)
