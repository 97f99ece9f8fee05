"""Bytes that are nearly HTTP: broken chunks, headers, lengths, trailers, pipelines, half closes."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

PATHS = ("/v1/rerank", "/v2/rerank", "/rerank", "/health", "/jina/v1/rerank", "/tei/rerank", "/x")
BODIES = (
    b'{"query":"q","documents":["a","b"]}',
    b'{"query":"q","texts":["a"]}',
    b'{"query":"q","documents":["a"],"model":"x"}',
    b"{}",
    b"",
    b"\xff\x00",
    b"[" * 50,
)
HEADERS = (
    b"Host: x",
    b"Content-Type: application/json",
    b"Content-Type: text/plain; charset=utf-16",
    b"Content-Encoding: gzip",
    b"Content-Encoding: gzip, gzip",
    b"Connection: close",
    b"Connection: keep-alive, Upgrade",
    b"Connection: Upgrade, HTTP2-Settings",
    b"Upgrade: h2c",
    b"HTTP2-Settings: AAMAAABkAAQAAP__",
    b"Upgrade: websocket",
    b"Expect: 100-continue",
    b"Expect: nonsense",
    b"Authorization: Bearer sk",
    b"Authorization:",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: chunked, chunked",
    b"Transfer-Encoding: identity",
    b"Transfer-Encoding : chunked",
    b"Transfer-Encoding:\x0bchunked",
    b"Content-Length: 5",
    b"Content-Length: -1",
    b"Content-Length: 1e3",
    b"Content-Length: 99999999999999999999",
    b"Content-Length: +7",
    b"X-A: \xff\xfe",
    b"X-A: " + b"a" * 5000,
    b"X-A:\r\n folded",
    b"X\x00Y: 1",
    b": nameless",
    b"no colon",
    b"Cookie: " + b"a=b; " * 300,
    b"Trailer: X-T",
)
METHODS = (
    b"POST",
    b"GET",
    b"HEAD",
    b"OPTIONS",
    b"PUT",
    b"PRI",
    b"post",
    b"CONNECT",
    b"\x16\x03\x01",
)
VERSIONS = (b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/9", b"")
SIZES = (
    b"%x",
    b"%X",
    b"0%x",
    b"%x;a=b",
    b"%x ",
    b"-%x",
    b"0x%x",
    b"%xg",
    b"",
    b"ffffffffffffffffff",
)
NEWLINES = (b"\r\n", b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b"\r\n\r\n")


@dataclass(frozen=True, slots=True)
class Case:
    """What is sent, in these pieces, and whether the sending side is closed after it."""

    pieces: Sequence[bytes]
    half_closes: bool


def _plain(draw: random.Random) -> bytes:
    body = draw.choice(BODIES)
    head = f"POST {draw.choice(PATHS)} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _pipelined(draw: random.Random) -> bytes:
    return b"".join(_plain(draw) for _ in range(draw.randint(2, 12)))


def _headers(draw: random.Random) -> bytes:
    """Any method, any version, any headers, each line ended in any way."""
    path = draw.choice((*PATHS, "*", "http://x/v1/rerank", "/" + "a" * 3000, "/%00", "/\x7f", ""))
    lines = [b" ".join([draw.choice(METHODS), path.encode(), draw.choice(VERSIONS)])]
    lines += draw.choices(HEADERS, k=draw.randint(0, 8))
    made = b"".join(line + draw.choice(NEWLINES) for line in lines)
    return made + draw.choice(NEWLINES) + draw.choice(BODIES)


def _chunked(draw: random.Random) -> bytes:
    """Chunks that are right, or nearly; trailers behind them."""
    head = f"POST {draw.choice(PATHS)} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
    if draw.random() < 0.2:
        head += "Content-Length: 5\r\n"
    made, body = head.encode() + b"\r\n", draw.choice(BODIES)
    while body:
        take = draw.randint(1, len(body))
        size = b"%x" if draw.random() < 0.8 else draw.choice(SIZES)
        written = size % take if b"%" in size else size
        made += written + draw.choice(NEWLINES) + body[:take] + draw.choice(NEWLINES)
        body = body[take:]
    made += draw.choice((b"0\r\n", b"0\r\n", b"00000\r\n", b"", b"0;x\r\n", b"0"))
    for _ in range(draw.choice((0, 0, 1, 3, 200))):
        made += draw.choice(HEADERS) + draw.choice(NEWLINES)
    return made + draw.choice((b"\r\n", b"\r\n", b""))


def _damaged(draw: random.Random) -> bytes:
    """A right request with some bytes changed, cut, doubled."""
    made = bytearray(draw.choice((_plain, _chunked, _pipelined))(draw))
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(made))
        kind = draw.randrange(4)
        if kind == 0:
            made[at] = draw.randrange(256)
        elif kind == 1:
            del made[at : at + draw.randint(1, 9)]
        elif kind == 2:
            made[at:at] = made[at : at + draw.randint(1, 40)]
        else:
            made[at:at] = draw.choice((b"\r\n", b"\x00", b"\r\n\r\n", b" ", b"\xff" * 20))
        if not made:
            made += b"\r\n"
    return bytes(made)


def _noise(draw: random.Random) -> bytes:
    return draw.randbytes(draw.randint(1, 300))


_KINDS: tuple[Callable[[random.Random], bytes], ...] = (
    _plain,
    _pipelined,
    _headers,
    _headers,
    _chunked,
    _chunked,
    _damaged,
    _damaged,
    _noise,
)


def case(draw: random.Random) -> Case:
    """One connection's worth, whole or in pieces, sometimes with a right request behind it."""
    made = draw.choice(_KINDS)(draw)
    if draw.random() < 0.2:
        made += _plain(draw)
    cuts = sorted(draw.randrange(len(made) + 1) for _ in range(draw.choice((0, 0, 0, 1, 3))))
    edges = [0, *cuts, len(made)]
    pieces = [made[a:b] for a, b in itertools.pairwise(edges) if a < b]
    return Case(pieces, half_closes=draw.random() < 0.95)
