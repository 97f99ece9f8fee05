"""Fake providers: any dialect that can be called, answering rightly or in every wrong way there is.

What a provider does is a script of steps for the bytes of a connection. `Connections` plays it in
process, `listen` on a socket. A provider's answers hold its key and its address
wherever a wrong one can, so that a test sees when they travel on.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import math
import re
import socket
import struct
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus

import msgspec

from rerankd.core.answer import Hit, Ranking
from rerankd.core.errors import (
    EngineFailed,
    Forbidden,
    InvalidRequest,
    QuotaExceeded,
    RerankError,
    Unauthorized,
    UnknownModel,
)
from rerankd.core.request import RerankRequest
from rerankd.dialects.base import Dialect
from rerankd.dialects.registry import SERVED
from rerankd.dialects.wire import Envelope, Options, WireAnswer, WireRequest
from rerankd.gateway.failover import Outcome

CALLABLE: tuple[Dialect, ...] = tuple(f for f in SERVED.served if isinstance(f, Dialect))
KEY = "sk-upstream-5e4d3c2b1a"  # of every provider
INNER = "http://inner.provider.test:9000/v1/rerank"
LEAK = f"{KEY} at {INNER}"
OVERSIZE = 2_000_000  # bytes, more than the tests' answer_bytes
_ENVELOPE = Envelope(request_id="upstream-1", created=1_700_000_000, engine="theirs")


@dataclass(frozen=True, slots=True)
class Send:
    """Bytes to the client."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing for so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class End:
    """The connection ends: closed, or reset."""

    is_reset: bool = False


Step = Send | Wait | End
Change = Callable[[tuple[Hit, ...]], tuple[Hit, ...]]
HANG = Wait(1e6)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came, and what the dialect reads of it."""

    dialect: Dialect
    wire: WireRequest
    request: RerankRequest

    def ranking(self) -> Ranking:
        """The right ranking: by how many words of the query a document has."""
        scores = [score(self.request.query.value, d.value) for d in self.request.documents]
        order = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
        hits = [Hit(i, scores[i], math.log(scores[i] / (1 - scores[i]))) for i in order]
        return Ranking(
            model=self.request.model or "theirs",
            hits=tuple(hits[: self.request.top_n]),
            documents=len(scores),
            input_tokens=sum(len(d.value) for d in self.request.documents),
        )

    def rendered(self, ranking: Ranking) -> WireAnswer:
        """A ranking, right or wrong, as the provider's answer."""
        request, asked = self.request, len(self.request.documents)
        places = max((hit.index for hit in ranking.hits), default=0)
        if places >= asked:  # what such an index would have had
            documents = (request.documents * (1 + places // asked))[: places + 1]
            request = dataclasses.replace(request, documents=documents)
        return self.dialect.render(request, ranking, _ENVELOPE)

    def refused(self, error: RerankError) -> WireAnswer:
        """An error in the provider's own form."""
        return self.dialect.render_error(error, _ENVELOPE, Options())


Steps = Callable[[Asked], Iterator[Step]]


@dataclass(frozen=True, slots=True)
class Row:
    """One way in which a call can end.

    `steps` are those of one request; None: nobody can be connected to, and `connect` says why.
    """

    name: str
    outcome: Outcome
    steps: Steps | None
    connect: type[Exception] | None = None
    retry_after_s: int | None = None


def score(query: str, document: str) -> float:
    """In (0, 1): the share of the query's words that a document has."""
    words = set(query.lower().split())
    shared = len(words & set(document.lower().split()))
    return (1 + shared) / (2 + len(words) + len(document) / 1000)


def http(answer: WireAnswer, *, length: int | None = None) -> bytes:
    """An answer as bytes; `length`: what it says of its body's length."""
    head = {
        "content-type": answer.content_type,
        **answer.headers,
        "content-length": str(len(answer.body) if length is None else length),
        "x-inner": LEAK,
        "set-cookie": f"key={KEY}",
    }
    with contextlib.suppress(ValueError):
        reason = HTTPStatus(answer.status).phrase
        return _head(answer.status, reason, head) + answer.body
    return _head(answer.status, "Odd", head) + answer.body


def good(asked: Asked) -> Iterator[Step]:
    """The right answer."""
    yield Send(http(asked.rendered(asked.ranking())))


def _head(status: int, reason: str, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} {reason}", *(f"{k}: {v}" for k, v in headers.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1")


def _status(status: int, **headers: str) -> Steps:
    """A status with a message that a provider should not have written."""

    def steps(_: Asked) -> Iterator[Step]:
        body = msgspec.json.encode({"message": LEAK, "detail": LEAK, "error": {"message": LEAK}})
        yield Send(http(WireAnswer(status=status, body=body, headers=headers)))

    return steps


def _own(error: RerankError) -> Steps:
    """An error in the provider's own form."""

    def steps(asked: Asked) -> Iterator[Step]:
        yield Send(http(asked.refused(error)))

    return steps


def _body(body: bytes, status: int = 200) -> Steps:
    def steps(_: Asked) -> Iterator[Step]:
        yield Send(http(WireAnswer(status=status, body=body)))

    return steps


def _hits(
    change: Callable[[tuple[Hit, ...]], tuple[Hit, ...]],
) -> Steps:
    """The right answer with other hits; with a score too few where there are no indices."""

    def steps(asked: Asked) -> Iterator[Step]:
        if asked.dialect.name == "deepinfra":
            fewer = dataclasses.replace(asked.request, documents=asked.request.documents[:-1])
            asked = dataclasses.replace(asked, request=fewer)
            yield Send(http(asked.rendered(asked.ranking())))
            return
        ranking = asked.ranking()
        yield Send(http(asked.rendered(dataclasses.replace(ranking, hits=change(ranking.hits)))))

    return steps


def _number(text: str) -> Steps:
    """The right answer with something else where the first score is."""

    def steps(asked: Asked) -> Iterator[Step]:
        ranking = asked.ranking()
        marked = dataclasses.replace(ranking.hits[0], score=0.123456789, logit=0.123456789)
        hits = (marked, *ranking.hits[1:])
        answer = asked.rendered(dataclasses.replace(ranking, hits=hits))
        body = answer.body.replace(b"0.123456789", text.encode())
        assert body != answer.body
        yield Send(http(dataclasses.replace(answer, body=body)))

    return steps


def _before_status(_: Asked) -> Iterator[Step]:
    yield End()


def _reset(_: Asked) -> Iterator[Step]:
    yield End(is_reset=True)


def _hang(_: Asked) -> Iterator[Step]:
    yield HANG


def _hang_in_body(asked: Asked) -> Iterator[Step]:
    whole = http(asked.rendered(asked.ranking()))
    yield Send(whole[:-5])
    yield HANG


def _drip(asked: Asked) -> Iterator[Step]:
    for byte in http(asked.rendered(asked.ranking())):
        yield Send(bytes([byte]))
        yield Wait(3.0)


def _cut_off(asked: Asked) -> Iterator[Step]:
    answer = asked.rendered(asked.ranking())
    yield Send(http(answer, length=len(answer.body) + 10))
    yield End()


def _not_http(_: Asked) -> Iterator[Step]:
    yield Send(b"SSH-2.0-OpenSSH_9.6\r\n" + LEAK.encode() + b"\r\n\r\n")
    yield End()


def _oversize(_: Asked) -> Iterator[Step]:
    yield Send(http(WireAnswer(status=200, body=b"["), length=OVERSIZE))
    for _part in range(OVERSIZE // 50_000):
        yield Send(b" " * 50_000)
    yield End()


def _oversize_untold(_: Asked) -> Iterator[Step]:
    yield Send(_head(200, "OK", {"content-type": "application/json", "connection": "close"}))
    for _part in range(OVERSIZE // 50_000):
        yield Send(b" " * 50_000)
    yield End()


def _other(index: int) -> Change:
    return lambda hits: (dataclasses.replace(hits[0], index=index), *hits[1:])


ROWS: tuple[Row, ...] = (
    Row("answers", "ok", good),
    Row("connection refused", "unreachable", None, ConnectionRefusedError),
    Row("connect time-out", "unreachable", None, TimeoutError),
    Row("closed before the status", "unreachable", _before_status),
    Row("reset before the status", "unreachable", _reset),
    Row("no HTTP", "unreachable", _not_http),
    Row("closed inside the body", "unreachable", _cut_off),
    Row("no answer", "timeout", _hang),
    Row("stops inside the body", "timeout", _hang_in_body),
    Row("byte by byte", "timeout", _drip),
    Row("408", "timeout", _status(408)),
    Row("504", "timeout", _status(504)),
    Row("524", "timeout", _status(524)),
    Row("429", "rate_limited", _status(429)),
    Row("429, 7 s", "rate_limited", _status(429, **{"retry-after": "7"}), retry_after_s=7),
    Row("429, a day", "rate_limited", _status(429, **{"retry-after": "86400"}), retry_after_s=300),
    Row("429, nonsense", "rate_limited", _status(429, **{"retry-after": "soon"})),
    Row("401", "refused", _status(401)),
    Row("402", "refused", _status(402)),
    Row("403", "refused", _status(403)),
    Row("its wrong key", "refused", _own(Unauthorized(LEAK))),
    Row("its empty balance", "refused", _own(QuotaExceeded(LEAK))),
    Row("its forbidden model", "refused", _own(Forbidden(LEAK))),
    Row("404", "unknown_model", _status(404)),
    Row("405", "unknown_model", _status(405)),
    Row(
        "its unknown model", "unknown_model", _own(UnknownModel(f"model 'x' is not served {LEAK}"))
    ),
    Row("400", "invalid", _status(400)),
    Row("422", "invalid", _status(422)),
    Row("its wrong field", "invalid", _own(InvalidRequest(f"query: wrong {LEAK}", param="query"))),
    Row("413", "over_limit", _status(413)),
    Row(
        "its limit of documents",
        "over_limit",
        _own(InvalidRequest(f"documents: too many, at most 1 {LEAK}", param="documents")),
    ),
    Row("500", "failed", _status(500)),
    Row("its failure", "failed", _own(EngineFailed(LEAK))),
    Row("502", "failed", _status(502)),
    Row("503", "overloaded", _status(503)),
    Row("503, 7 s", "overloaded", _status(503, **{"retry-after": "7"}), retry_after_s=7),
    Row("529", "overloaded", _status(529)),
    Row("301", "redirected", _status(301, location=INNER)),
    Row("307", "redirected", _status(307, location=INNER)),
    Row("204", "bad_answer", _body(b"", 204)),
    Row("201", "bad_answer", _body(b"{}", 201)),
    Row("418", "bad_answer", _status(418)),
    Row("no body", "bad_answer", _body(b"")),
    Row("no JSON", "bad_answer", _body(b"<html>" + LEAK.encode())),
    Row("other JSON", "bad_answer", _body(msgspec.json.encode({"message": LEAK}))),
    Row("deep JSON", "bad_answer", _body(b"[" * 50_000)),
    Row("unknown index", "bad_answer", _hits(_other(99))),
    Row("double index", "bad_answer", _hits(lambda h: (h[0], *h[:-1]))),
    Row("too few results", "bad_answer", _hits(lambda h: h[:-1])),
    Row("no results", "bad_answer", _hits(lambda _: ())),
    Row("negative index", "bad_answer", _hits(_other(-1))),
    Row("NaN", "bad_answer", _number("NaN")),
    Row("infinite", "bad_answer", _number("1e999")),
    Row("score of null", "bad_answer", _number("null")),
    Row("score of text", "bad_answer", _number('"0.5"')),
    Row("too large", "bad_answer", _oversize),
    Row("too large, untold", "bad_answer", _oversize_untold),
)


class Fake:
    """One provider: a dialect and what it does, counted."""

    def __init__(self, dialect: Dialect, row: Row = ROWS[0], *, delay_s: float = 0.0) -> None:
        self.dialect = dialect
        self.row = row
        self.delay_s = delay_s
        self.asked: list[Asked] = []
        self.wrong: list[str] = []  # what no provider would have understood

    def connected(self) -> None:
        """Somebody connects. Raises what the row says."""
        if self.row.connect is not None:
            raise self.row.connect("[Errno 111] " + INNER)

    def steps(self, wire: WireRequest) -> Iterator[Step]:
        """What happens after a whole request came."""
        asked = self._read(wire)
        if isinstance(asked, WireAnswer):
            yield Send(http(asked))
            return
        self.asked.append(asked)
        if self.delay_s:
            yield Wait(self.delay_s)
        yield from (self.row.steps or good)(asked)

    def _read(self, wire: WireRequest) -> Asked | WireAnswer:
        render, options = self.dialect.render_error, Options()
        params = self._params(wire.path)
        if params is None:
            self.wrong.append(f"{wire.method} {wire.path}")
            return render(UnknownModel(f"model of {wire.path} not found"), _ENVELOPE, options)
        if self.dialect.presented_key(wire.headers) != KEY.encode():
            self.wrong.append("key")
            return render(Unauthorized("Invalid token"), _ENVELOPE, options)
        wire = dataclasses.replace(wire, params=params)
        try:
            return Asked(self.dialect, wire, self.dialect.parse(wire, options))
        except InvalidRequest as error:
            self.wrong.append(error.message)
            return render(error, _ENVELOPE, options)

    def _params(self, path: str) -> Mapping[str, str] | None:
        for known in (*self.dialect.root, *self.dialect.paths):
            pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>.+)", re.escape(known))
            if found := re.fullmatch(pattern, path):
                return found.groupdict()
        return None


class _Inbox:
    """Bytes of requests, as they come."""

    def __init__(self) -> None:
        self._raw = bytearray()

    def take(self, data: bytes) -> Iterator[WireRequest]:
        """The requests that are whole now."""
        self._raw += data
        while (end := self._raw.find(b"\r\n\r\n")) >= 0:
            first, *lines = bytes(self._raw[:end]).decode("latin-1").split("\r\n")
            pairs = (line.split(":", 1) for line in lines)
            headers = {name.strip().lower(): value.strip() for name, value in pairs}
            whole = end + 4 + int(headers.get("content-length", "0"))
            if len(self._raw) < whole:
                return
            method, target, _ = first.split(" ")
            body = bytes(self._raw[end + 4 : whole])
            del self._raw[:whole]
            path = target.partition("?")[0]
            yield WireRequest(path=path, method=method, headers=headers, body=body)


class _Script:
    """A line that is no socket: what the provider does, played when it is read."""

    is_fresh = True

    def __init__(self, fake: Fake) -> None:
        self._fake = fake
        self._inbox = _Inbox()
        self._steps: Iterator[Step] = iter(())

    async def read(self) -> bytes:
        """What the provider sends next; b"" = it has ended."""
        while True:
            step = next(self._steps, End())
            match step:
                case Send(data):
                    return data
                case Wait(seconds):
                    await asyncio.sleep(seconds)
                case End():
                    return b""

    def write(self, data: bytes) -> None:
        """A request for the provider."""
        for wire in self._inbox.take(data):
            self._steps = self._fake.steps(wire)

    def close(self) -> None:
        """Nothing to close."""


class Connections:
    """Leads to fakes by port, without a socket: `dial` stands for that of gateway.line."""

    def __init__(self, fakes: Mapping[int, Fake]) -> None:
        self._fakes = fakes
        self.opened = 0

    async def dial(self, host: str, port: int, *_: object) -> _Script:
        """A connection to the provider of that port."""
        fake = self._fakes[port]
        fake.connected()
        self.opened += 1
        return _Script(fake)


@contextlib.asynccontextmanager
async def listen(fake: Fake, port: int = 0) -> AsyncGenerator[int]:
    """A provider on a socket of loopback; gives its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inbox = _Inbox()
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                for wire in inbox.take(data):
                    if not await _play(fake.steps(wire), writer):
                        return
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def _play(steps: Iterable[Step], writer: asyncio.StreamWriter) -> bool:
    """Do them; whether the connection goes on."""
    for step in steps:
        match step:
            case Send(data):
                writer.write(data)
                await writer.drain()
            case Wait(seconds):
                await asyncio.sleep(seconds)
            case End(is_reset):
                if is_reset:
                    sock: socket.socket = writer.get_extra_info("socket")
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.close()
                return False
    return True
