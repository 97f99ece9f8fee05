"""What surrounds an answer of a dialect: room before it, headers, and how it becomes a response."""

from __future__ import annotations

import dataclasses
import heapq
import time
from collections.abc import Sequence

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from rerankd.core.errors import InvalidRequest
from rerankd.core.request import RerankRequest
from rerankd.dialects.wire import Envelope, WireAnswer
from rerankd.web.body import InflightBytes

WARNINGS_HEADER = "x-rerankd-warnings"  # a JSON list, for the dialects without a place for them
_CHARACTER_BYTES = 4  # at most, in UTF-8


def echoed_bytes(requests: Sequence[RerankRequest], body_bytes: int) -> int:
    """At most so many bytes of the body come back as documents of the answer."""
    total = 0
    for request in requests:
        top_n, documents = request.top_n or len(request.documents), request.documents
        if not request.return_documents:
            continue
        if top_n >= len(documents) or any(d.echo is not None for d in documents):
            return body_bytes
        longest = heapq.nlargest(top_n, (len(document.value) for document in documents))
        total += _CHARACTER_BYTES * sum(longest)
    return min(total, body_bytes)


def check_answer(size: int, limit: int, field: str) -> None:
    """Refuse vectors that would take more than all answers together may, whatever the load.

    Raises:
        InvalidRequest: so many bytes are over limits.inflight_bytes.
    """
    if size > limit:
        raise InvalidRequest(
            f"{field}: the answer would have up to {size} bytes; the limit is {limit} "
            "(limits.inflight_bytes). Send fewer texts, or ask for fewer dimensions or base64.",
            param=field,
        )


def with_headers(answer: WireAnswer, headers: dict[str, str]) -> WireAnswer:
    """The same with more of them."""
    return dataclasses.replace(answer, headers={**answer.headers, **headers})


def told(warnings: Sequence[str]) -> dict[str, str]:
    """The header that tells of them, if there are any."""
    if not warnings:
        return {}
    said = msgspec.json.encode(warnings).decode()
    return {WARNINGS_HEADER: said.encode("ascii", "backslashreplace").decode()}


def envelope_of(scope: Scope) -> Envelope:
    """The request's id and time, set by the outermost middleware."""
    return Envelope(request_id=scope["state"]["request_id"], created=int(time.time()))


def headers_of(scope: Scope) -> dict[str, str]:
    """A request's headers by their names, which are lower-case; of several alike the first."""
    return {
        name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"][::-1]
    }


def response_of(answer: WireAnswer) -> Response:
    """A wire answer as an ASGI response."""
    headers = {"content-type": answer.content_type, **answer.headers}
    if answer.status == 408:  # who drips a body gets no second one on this connection
        headers["connection"] = "close"
    return Response(answer.body, status_code=answer.status, headers=headers)


class Counted(Response):
    """An answer made for one reader, counted in the room for answers until it was read.

    Raises:
        Overloaded: other requests leave no room.
    """

    def __init__(self, response: Response, inflight: InflightBytes) -> None:
        super().__init__(response.body, response.status_code)
        self.raw_headers = response.raw_headers
        self._inflight = inflight

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        self._inflight.take(len(self.body), own=0)
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._inflight.give_back(len(self.body))
