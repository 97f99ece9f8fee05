"""uvicorn's HTTP protocol, with a limit on how long request headers may take."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class TimedHeadersProtocol(HttpToolsProtocol):
    """Closes a connection that does not send whole headers in time.

    uvicorn itself waits for ever: a client that opens connections and drips a byte now and then
    would hold them all. Idle keep-alive connections are uvicorn's own matter (timeout_keep_alive).
    """

    limit_s = 60.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The first request's headers are due from here."""
        super().connection_made(transport)
        self._arm()

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

    def _arm(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(self.limit_s, self._close)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _close(self) -> None:
        self._timer = None
        if not self.transport.is_closing():
            self.transport.close()


def timed_headers(limit_s: float) -> type[TimedHeadersProtocol]:
    """The protocol class with a limit in seconds, in the form that uvicorn.Config takes."""
    return type("TimedHeaders", (TimedHeadersProtocol,), {"limit_s": limit_s})
