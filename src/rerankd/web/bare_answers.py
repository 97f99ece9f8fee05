"""HTTP in bytes, where no request is there for the app: an answer, and headers to read again."""

from __future__ import annotations

import time
from collections.abc import Iterable

from rerankd.core.errors import InvalidRequest
from rerankd.dialects.base import AnyEndpoint
from rerankd.dialects.wire import Envelope, Options
from rerankd.web.middleware import TRACE_HEADERS, new_request_id

_REASONS = {400: "Bad Request", 431: "Request Header Fields Too Large"}


def refusal(speaker: AnyEndpoint, status: int, message: str) -> bytes:
    """The last answer of a connection: the speaker's error body and trace id, as any other's.

    Args:
        speaker: whose form the body has.
        status: 400 or 431.
        message: why, for the caller.
    """
    request_id = new_request_id()
    envelope = Envelope(request_id=request_id, created=int(time.time()))
    answer = speaker.render_error(InvalidRequest(message), envelope, Options())
    lines = [
        f"HTTP/1.1 {status} {_REASONS[status]}",
        f"content-type: {answer.content_type}",
        f"content-length: {len(answer.body)}",
        "connection: close",
        *(f"{name}: {request_id}" for name in TRACE_HEADERS),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + answer.body


def without_offer(
    method: str, url: bytes, version: str, headers: Iterable[tuple[bytes, bytes]]
) -> bytes | None:
    """A request's headers without its offer of another protocol; None = they cannot be written."""
    lines = [f"{method} ".encode() + url + f" HTTP/{version}".encode()]
    lines += [name + b": " + value for name, value in headers if name != b"upgrade"]
    if any(b"\r" in line or b"\n" in line for line in lines):
        return None
    return b"\r\n".join([*lines, b"", b""])
