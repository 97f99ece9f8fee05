"""One request and its answer on a connection: HTTP/1.1 in bytes, each part of an answer bounded."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import httptools

from rerankd.dialects.wire import WireAnswer
from rerankd.gateway.failover import AttemptFailed
from rerankd.gateway.line import Line

Method = Literal["POST", "GET"]

_HEAD_BYTES: Final = 65_536
_PIECES: Final = 1024  # of a body; and one more for each 256 bytes
_PIECE_BYTES: Final = 256
_UNSENDABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class Unanswered(Exception):
    """The connection was closed before an answer began."""


@dataclass(frozen=True, slots=True)
class Exchanged:
    """An answer, and whether the connection can carry another request."""

    answer: WireAnswer
    is_kept: bool


def request_bytes(
    target: str, headers: Mapping[str, str], body: bytes, *, method: Method = "POST"
) -> bytes:
    """A request.

    Args:
        target: path, percent-encoded.
        headers: host among them; lengths are added.
        body: whole; of a GET empty.
        method: POST or GET.

    Raises:
        AttemptFailed: "refused": a header that cannot be sent, such as a key with a line break.
    """
    said = {**headers, "accept-encoding": "identity", "content-length": str(len(body))}
    if any(_UNSENDABLE.search(value) for value in said.values()):
        raise AttemptFailed("refused")
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in said.items())]
    return "\r\n".join((*lines, "", "")).encode() + body


async def exchange(line: Line, request: bytes, *, answer_bytes: int) -> Exchanged:
    """Send a request and read its whole answer; of a redirect the head only.

    Raises:
        Unanswered: nothing came.
        AttemptFailed: "unreachable": no HTTP, a head without end, or it ended inside;
            "bad_answer": over a bound.
    """
    incoming = _Incoming(answer_bytes)
    line.write(request)
    while not incoming.is_done:
        if data := await line.read():
            incoming.feed(data)
        else:
            incoming.end()
    return Exchanged(incoming.answer(), incoming.is_kept)


class _Incoming:
    """An answer while it comes; the parser calls the methods with `on_`."""

    def __init__(self, answer_bytes: int) -> None:
        self._limit = answer_bytes
        self._parser = httptools.HttpResponseParser(self)
        self._raw = 0  # bytes that came
        self._pieces = 0
        self._status = 0  # 0: no head yet
        self._headers: dict[str, str] = {}
        self._body = bytearray()
        self._is_whole = False
        self._stays_open = False
        self._is_redirect = False
        self._is_more = False  # something came after the answer

    @property
    def is_done(self) -> bool:
        """Whether the answer is there."""
        return self._is_whole or self._is_redirect

    @property
    def is_kept(self) -> bool:
        """Whether the connection can be used again."""
        return self._stays_open and not self._is_more

    def answer(self) -> WireAnswer:
        """When it is done."""
        body = b"" if self._is_redirect else bytes(self._body)
        return WireAnswer(status=self._status, body=body, headers=self._headers)

    def feed(self, data: bytes) -> None:
        """Take what came. Raises AttemptFailed."""
        self._raw += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            raise AttemptFailed("bad_answer", status=self._status) from None
        except httptools.HttpParserError as error:
            if not self._is_whole:
                raise AttemptFailed("unreachable", status=self._status) from error
            self._is_more = True
        if not self._status and self._raw > _HEAD_BYTES:
            raise AttemptFailed("unreachable")
        if self._status and self._is_over():
            raise AttemptFailed("bad_answer", status=self._status)

    def end(self) -> None:
        """Nothing more comes. Raises Unanswered, AttemptFailed."""
        if self._raw == 0:
            raise Unanswered
        if self._status and not {"content-length", "transfer-encoding"} & self._headers.keys():
            self._is_whole = self._is_more = True  # its end is the connection's
            return
        raise AttemptFailed("unreachable", status=self._status)

    def _is_over(self) -> bool:
        """Whether it is over a bound, or cannot be read."""
        told = self._headers.get("content-length", "")
        is_coded = self._headers.get("content-encoding", "identity").lower() != "identity"
        return not self._is_redirect and (
            is_coded
            or (told.isdecimal() and int(told[:20]) > self._limit)
            or len(self._body) > self._limit
            or self._pieces > _PIECES + len(self._body) // _PIECE_BYTES
            or self._raw > 2 * self._limit + 2 * _HEAD_BYTES  # extensions of chunks, trailers
        )

    def on_message_begin(self) -> None:
        """A second answer to one request is none."""
        self._is_more = self._is_whole

    def on_header(self, name: bytes, value: bytes) -> None:
        """One of the head; a trailer is no header."""
        if not self._status:
            self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """The head is there."""
        if self._is_more:
            return
        self._status = self._parser.get_status_code()
        self._is_redirect = 300 <= self._status < 400

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        self._pieces += 1
        if not self._is_more and len(self._body) <= self._limit:
            self._body += data

    def on_message_complete(self) -> None:
        """The answer is whole; one of 1xx only announces it."""
        if self._is_more:
            return
        if 100 <= self._status < 200 and self._status != 101:
            self._status, self._headers = 0, {}
            return
        self._is_whole, self._stays_open = True, self._parser.should_keep_alive()
