"""uvicorn's HTTP protocol, with limits on request headers and our answer to what is not HTTP."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from rerankd.core.errors import InvalidRequest
from rerankd.dialects.registry import SERVED
from rerankd.dialects.wire import Envelope, Options
from rerankd.web.middleware import TRACE_HEADERS, new_request_id

_HEADER_BYTES = 65_536


class BoundedHeadersProtocol(HttpToolsProtocol):
    """Closes a connection that does not send whole, reasonable headers in time.

    uvicorn itself waits for ever and takes headers of any size: a client that opens connections
    and drips a byte now and then would hold them all. Idle keep-alive connections are uvicorn's
    own matter (timeout_keep_alive).
    """

    limit_s = 60.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._timer: asyncio.TimerHandle | None = None
        self._pending_bytes = 0  # read since headers became due

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The first request's headers are due from here."""
        super().connection_made(transport)
        self._arm()

    def data_received(self, data: bytes) -> None:
        """Headers that do not end within 64 KiB are refused."""
        super().data_received(data)
        if self._timer is not None and not self.transport.is_closing():
            self._pending_bytes += len(data)
            if self._pending_bytes > _HEADER_BYTES:
                self._refuse(431, f"The request headers are over {_HEADER_BYTES} bytes.")

    def on_message_begin(self) -> None:
        """A further request's headers are due from their first byte."""
        self._arm()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """In time."""
        self._disarm()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is due any more."""
        self._disarm()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """What is not HTTP gets the same error body and trace id as any other bad request."""
        self._refuse(400, msg)

    def _refuse(self, status: int, message: str) -> None:
        request_id = new_request_id()
        envelope = Envelope(request_id=request_id, created=int(time.time()))
        answer = SERVED.root.render_error(InvalidRequest(message), envelope, Options())
        reason = "Bad Request" if status == 400 else "Request Header Fields Too Large"
        lines = [
            f"HTTP/1.1 {status} {reason}",
            f"content-type: {answer.content_type}",
            f"content-length: {len(answer.body)}",
            "connection: close",
            *(f"{name}: {request_id}" for name in TRACE_HEADERS),
        ]
        self.transport.write("\r\n".join(lines).encode() + b"\r\n\r\n" + answer.body)
        self.transport.close()

    def _arm(self) -> None:
        if self._timer is None:
            self._pending_bytes = 0
            self._timer = self.loop.call_later(self.limit_s, self._close)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _close(self) -> None:
        self._timer = None
        if getattr(self.cycle, "response_complete", True) is False:
            self._arm()  # a request that was sent before is still being answered
        elif not self.transport.is_closing():
            self.transport.close()


def bounded_headers(limit_s: float) -> type[BoundedHeadersProtocol]:
    """The protocol class with a limit in seconds, in the form that uvicorn.Config takes."""
    return type("BoundedHeaders", (BoundedHeadersProtocol,), {"limit_s": limit_s})
