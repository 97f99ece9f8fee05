"""When a connection is read, and in which pieces its answer is sent."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from rerankd.web.outgoing import AnswerTransport

_SEND_BYTES = 65_536  # of an answer, given to the transport at once


class Flow(FlowControl):
    """uvicorn's, that reads on for the request at work only while no other waits unparsed."""

    _holding = False

    def resume_reading(self) -> None:
        """Read on, unless what was read last still waits."""
        if not self._holding:
            super().resume_reading()

    def hold(self, holding: bool) -> None:  # noqa: FBT001 - the one thing that it says
        """Stop reading, or read on."""
        self._holding = holding
        if holding:
            self.pause_reading()
        else:
            self.resume_reading()


def in_pieces(app: ASGIApp, cycle: RequestResponseCycle, out: AnswerTransport) -> ASGIApp:
    """The app, its answers sent piece by piece: each waits until the reader took the one before.

    The head goes out with the first piece: on its own it would wake the reader for nothing.
    """

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                if cycle.waiting_for_100_continue:
                    cycle.keep_alive = False  # nobody knows whether the body will come
                out.hold()
                await send(message)
                return
            body = message.get("body", b"")
            if len(body) <= _SEND_BYTES:
                await send(message)
                out.let_go()
                return
            for at in range(0, len(body), _SEND_BYTES):
                more = message.get("more_body", False) or at + _SEND_BYTES < len(body)
                piece = {**message, "body": body[at : at + _SEND_BYTES], "more_body": more}
                await send(piece)
                out.let_go()

        await app(scope, receive, sent)

    return run
