"""What the admin API answers: JSON, and one form for every error."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType
from starlette.responses import Response

from rerankd.core.errors import MethodNotAllowed, Overloaded, RateLimited, RerankError
from rerankd.dialects.wire import JSON
from rerankd.store.database import StoreAway
from rerankd.store.errors import Conflict, NotFound
from rerankd.web.drain import Drain, shutting_down

REPLAYED_HEADER: Final = "idempotency-replayed"
REASON_HEADER: Final = "x-rerankd-reason"
_AWAY_S: Final = 2.0  # after which to try again


class Problem(msgspec.Struct, kw_only=True):
    """What is wrong."""

    type: str  # one word for programs
    message: str  # a sentence: what, and the way out
    param: str | None = None  # the field, as `budgets[0].amount`
    request_id: str
    version: int | UnsetType = UNSET  # of a conflict about versions: the one that it has now


class ProblemBody(msgspec.Struct):
    """The body of every error."""

    error: Problem


Run = Callable[..., Awaitable[Any]]  # a function and its arguments, on a thread


class AdminRefusal(Exception):
    """A call that the admin API does not carry out, for a reason that only it has."""

    def __init__(self, status: int, kind: str, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.param = param


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminAnswer:
    """A call that was carried out."""

    content: Any  # JSON, without a secret
    status: int = 200
    once: Mapping[str, str] = field(default_factory=dict[str, str])  # told now and never again
    is_replay: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """An answer that comes in pieces, each made when the one before was sent."""

    pieces: Iterator[bytes]
    media_type: str
    file_name: str


def response_of(answer: AdminAnswer) -> Response:
    """JSON; what is told once stands beside the rest, and is null when it is told again."""
    content = answer.content
    if answer.once:
        content = {**content, **answer.once}
    headers = {"cache-control": "no-store"}
    if answer.is_replay:
        headers[REPLAYED_HEADER] = "true"
    return Response(msgspec.json.encode(content), answer.status, headers, media_type=JSON)


def problem_of(error: Exception, request_id: str) -> Response:
    """The one form of all errors."""
    status, found, headers = problem(error, request_id)
    return Response(msgspec.json.encode(ProblemBody(found)), status, headers, media_type=JSON)


def problem(error: Exception, request_id: str) -> tuple[int, Problem, dict[str, str]]:
    """Status, what is wrong and headers; of an error that nobody expected only the id."""
    headers = {"cache-control": "no-store"}
    version: int | UnsetType = UNSET
    status, kind, message, param = 500, "internal_error", "", None
    match error:
        case RerankError():
            status, kind, message = error.status, error.kind, error.message
            param = getattr(error, "param", None)
            if error.reason is not None:
                headers[REASON_HEADER] = error.reason
        case AdminRefusal():
            status, kind, message, param = error.status, error.kind, str(error), error.param
        case NotFound():
            status, kind, message = 404, "not_found", str(error)
        case Conflict():
            status, kind, message = 409, "conflict", str(error)
            version = UNSET if error.version is None else error.version
        case StoreAway():
            status, kind = 503, "store_away"
            message = f"The store cannot be used now: {error}."
            headers["retry-after"] = str(math.ceil(_AWAY_S))
        case _:
            message = f"Internal error. The log has its cause, by this request id: {request_id}"
    if isinstance(error, MethodNotAllowed):
        headers["allow"] = error.allow
    if isinstance(error, RateLimited | Overloaded):
        headers["retry-after"] = str(math.ceil(error.retry_after_s))
    found = Problem(type=kind, message=message, param=param, request_id=request_id, version=version)
    return status, found, headers


def stream_headers(stream: Stream) -> dict[str, str]:
    """A file that is nobody else's."""
    name = f'attachment; filename="{stream.file_name}"'
    return {"cache-control": "no-store", "content-disposition": name}


async def pieces_of(stream: Stream, run: Run, drain: Drain) -> AsyncGenerator[bytes]:
    """Each made on a thread when the one before was sent; a stop of the server ends them.

    Raises:
        ConnectionAbortedError: it stops; what was sent is not all.
    """
    while (piece := await run(next, stream.pieces, None)) is not None:
        if drain.has_expired:
            raise ConnectionAbortedError(str(shutting_down()))
        yield piece
