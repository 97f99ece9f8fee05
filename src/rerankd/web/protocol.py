"""uvicorn's HTTP protocol with a bound on all that a connection sends, holds and is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, cast

import httptools
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from rerankd.core.errors import InvalidRequest
from rerankd.dialects.base import AnyEndpoint
from rerankd.settings.schema import Limits
from rerankd.telemetry.logs import log_refusal
from rerankd.web.alarm import Alarm
from rerankd.web.bare_answers import refusal, without_offer
from rerankd.web.flow import Flow, in_pieces
from rerankd.web.framing import Framing, TooMuch
from rerankd.web.outgoing import AnswerTransport

_PIECE_BYTES = 4096  # parsed at once: after each, bounds are checked and requests counted
_LINGER_S = 5.0  # for a client to read its last answer before the connection is reset


class BoundedProtocol(HttpToolsProtocol):
    """One connection: uvicorn's protocol, bounded.

    - headers, trailers and chunk extensions have one limit on bytes, headers a time limit;
    - what a client goes on sending after its answer is read and dropped, to a limit;
    - pipelined requests wait unread behind the one that is answered;
    - a client that ends its sending side gets its answers; one that is gone is noticed;
    - offers to change to another protocol are ignored, as HTTP wants it;
    - answers go out in pieces, and a reader that stops is cut off.
    """

    limits: Limits
    speaker: AnyEndpoint  # whose form an error has before a request is known

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._alarm = Alarm(self.loop, self._late)
        self._framing = Framing()
        self._held = b""  # read, and not parsed: requests behind others
        self._active: RequestResponseCycle | None = None  # the request that is being answered
        self._answered = 0
        self._in_body = False  # of self.cycle, the latest request
        self._begun = False  # a request's headers are on their way
        self._offered = False  # its headers want another protocol
        self._method: str = ""  # of a request that does
        self._version: str = ""
        self._replaying = False
        self._ended = False  # the client sends no more
        self._dropped_bytes = 0  # sent after the answer
        self._refusal: tuple[int, str] | None = None  # for when the requests before are answered

    # The connection.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The first request's headers are due from here."""
        super().connection_made(transport)
        self.flow = self._flow = Flow(transport)
        self.out = AnswerTransport(
            transport,
            self.loop,
            limit_s=self.limits.write_s,
            close=self._end,
            stuck=self._stuck,
        )
        self.transport = cast("asyncio.Transport", self.out)
        self._alarm.set(self.limits.body_s)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody waits for what runs or waits here."""
        self._alarm.off()
        self.out.lost()
        self.out.ending = True
        self._held = b""
        for cycle in self._unanswered():
            cycle.disconnected = True
            cycle.message_event.set()
        self.pipeline.clear()
        super().connection_lost(exc)
        self._unset_keepalive_if_required()

    def data_received(self, data: bytes) -> None:
        """Parse up to the first request that must wait for the one before it."""
        self._unset_keepalive_if_required()
        if self.out.is_closing() or self._refusal is not None:
            self._drop(len(data))
            return
        self._held = self._held + data if self._held else data
        self._feed()

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """The requests that came whole get their answers."""
        if self.out.is_closing() or not self._unanswered():
            return None  # the transport closes
        if not self._ended:
            self._ended = True
            self._finish()
        return not self.out.raw.is_closing()

    def shutdown(self) -> None:
        """The server stops: what runs is answered, the rest ends."""
        if not self._unanswered():
            self.out.raw.close()
        for cycle in self._unanswered():
            cycle.keep_alive = False

    def close_if_idle(self) -> None:
        """End a connection that is kept alive without need: no request of it is on its way."""
        if self._answered and not (self._unanswered() or self._held or self._begun):
            self._end()

    # Reading.

    def _feed(self) -> None:
        view, at = memoryview(self._held), 0
        while at < len(view) and not (self.pipeline or self._refusal or self.out.is_closing()):
            at += self._parse(view[at : at + _PIECE_BYTES])
        stopped = self._refusal is not None or self.out.is_closing()
        self._held = b"" if stopped else self._held[at:]
        self._flow.hold(bool(self._held))
        if self._ended and not self._held:
            self._finish()
        if not self._alarm.is_set and not self._unanswered():
            # for what began, or for blank lines between requests
            self._alarm.set(self.limits.body_s)

    def _parse(self, piece: memoryview) -> int:
        """Parse a piece; how much of it was."""
        size = len(piece)
        try:
            try:
                self.parser.feed_data(piece)
            except httptools.HttpParserUpgrade as offer:
                size = int(offer.args[0])
                self._ignore_offer()
            self._framing.piece(size)
        except TooMuch as error:
            self._refuse(431, str(error))
        except httptools.HttpParserError as error:
            if isinstance(error.__context__, TooMuch):
                self._refuse(431, str(error.__context__))
            else:
                self._refuse(400, "Invalid HTTP request received.")
        return size

    def _ignore_offer(self) -> None:
        """Parse the headers once more without the offer: the parser reads no body behind one."""
        again = without_offer(self._method, self.url, self._version, self.headers)
        if again is None:
            raise httptools.HttpParserError
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's
        self._offered, self._replaying = False, True
        try:
            self.parser.feed_data(again)
        finally:
            self._replaying = False

    def on_message_begin(self) -> None:
        """A request's headers are due from their first byte."""
        if not self._replaying:
            self._framing.begin()
            self._begun = True
            if not self._alarm.is_set:
                self._alarm.set(self.limits.body_s)
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; trailers are counted and dropped, they are no headers."""
        if not self._replaying:
            self._framing.field()
        if not self._in_body:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """In time."""
        if self.parser.should_upgrade():
            self._method = str(self.parser.get_method(), "ascii")
            self._version = str(self.parser.get_http_version())
            if self._method == "CONNECT":
                raise InvalidRequest("CONNECT is not possible here.")
            self._offered = True
            return
        self._alarm.off()
        self._begun, self._in_body, self._dropped_bytes = False, True, 0
        super().on_headers_complete()

    def on_chunk_header(self) -> None:
        """One more chunk."""
        self._framing.chunk()

    def on_body(self, body: bytes) -> None:
        """A part of the body; dropped when the answer was given without it."""
        self._framing.body(len(body))
        if self.cycle.response_complete:
            self._dropped_bytes += len(body)
            if self._dropped_bytes > 2 * self.limits.body_bytes:
                raise TooMuch("The body goes on after its answer.")
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        if self._offered:
            return
        self._in_body = False
        if self.cycle.response_complete:
            self._alarm.off()
        super().on_message_complete()

    # Answering.

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGIApp) -> None:  # type: ignore[override]
        self._active = cycle
        super()._start_asgi_task(cycle, in_pieces(app, cycle, self.out))  # type: ignore[arg-type]
        if self._ended and not self._held:
            self._finish()

    def on_response_complete(self) -> None:
        """On to the next request."""
        self._answered += 1
        if self._active is not None:
            self._active.body = bytearray()  # what came, and was not asked for
        if self._in_body and self._active is self.cycle and not self.out.is_closing():
            self._alarm.set(self.limits.body_s)
        super().on_response_complete()
        self.loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        if self.out.is_closing() or self.pipeline:
            return
        if self._refusal is not None:
            if not self._unanswered():
                self._send_refusal(*self._refusal)
        elif self._held:
            self._unset_keepalive_if_required()
            self._feed()
        elif self._ended:
            self._finish()

    def _finish(self) -> None:
        """The client sends no more and all that came is parsed: answer it, then close."""
        if self._in_body and not self.cycle.response_complete:  # the rest will never come
            if self.cycle is self._active:
                self.out.raw.close()
                return
            self.pipeline.popleft()
            self._in_body = False
        unanswered = self._unanswered()
        if not unanswered:
            self.out.raw.close()
            return
        unanswered[-1].keep_alive = False
        if not unanswered[0].response_started:
            self.out.probe()

    def _unanswered(self) -> list[RequestResponseCycle]:
        """The requests that wait for their answers, the one that runs first."""
        running = [] if self._active is None or self._active.response_complete else [self._active]
        return running + [cycle for cycle, _ in reversed(self.pipeline)]

    # Refusing and ending.

    def send_400_response(self, msg: str) -> None:
        """What is not HTTP gets the same error body and trace id as any other bad request."""
        self._refuse(400, msg)

    def _refuse(self, status: int, message: str) -> None:
        """Read no more; say why, after the answers to the requests before."""
        self._refusal = (status, message)
        self._alarm.off()
        faulty = self.cycle if self._in_body else None
        if faulty is not None and faulty is not self._active:
            self.pipeline.popleft()
            self._in_body = False
        elif faulty is not None and faulty.response_started:
            self.out.raw.close()
            return
        elif faulty is not None:
            faulty.disconnected = True
            faulty.message_event.set()
            self._send_refusal(status, message)
            return
        if not self._unanswered():
            self._send_refusal(status, message)

    def _send_refusal(self, status: int, message: str) -> None:
        self.out.write(refusal(self.speaker, status, message))
        self._linger()

    def _end(self) -> None:
        """Close; let a client that is still sending read its answer first."""
        if self.out.is_closing():
            return
        if self._in_body and not self._ended and self.cycle.response_complete:
            self._linger()
        else:
            self.out.raw.close()

    def _linger(self) -> None:
        """End our side, drop what comes: closing at once would reset the answer away."""
        self._held = b""
        self._dropped_bytes = 0
        if self._ended:
            self.out.raw.close()
            return
        self.out.write_eof()
        self._flow.hold(False)
        self._alarm.set(_LINGER_S)

    def _drop(self, size: int) -> None:
        self._dropped_bytes += size
        if self._dropped_bytes > 2 * self.limits.body_bytes:
            self.out.raw.close()

    def _stuck(self) -> None:
        log_refusal(
            "reader cut", f"It took nothing for {self.limits.write_s:g} s (limits.write_s)."
        )

    def _late(self) -> None:
        if self._unanswered() and not self.out.ending:
            # a request that was sent before is still being answered
            self._alarm.set(self.limits.body_s)
        else:
            self.out.raw.close()


def close_idle(connections: Iterable[object]) -> None:
    """End the kept-alive connections among these on which no request is on its way."""
    for connection in list(connections):
        if isinstance(connection, BoundedProtocol):
            connection.close_if_idle()


def bounded(limits: Limits, speaker: AnyEndpoint) -> type[BoundedProtocol]:
    """The protocol class with these limits, in the form that uvicorn.Config takes."""
    return type("Bounded", (BoundedProtocol,), {"limits": limits, "speaker": speaker})
