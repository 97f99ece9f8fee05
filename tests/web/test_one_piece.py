"""An answer's head goes out with its body's first piece."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from starlette.responses import Response
from starlette.types import Message

from rerankd.web.flow import in_pieces
from rerankd.web.outgoing import AnswerTransport


class Written:
    """A transport that remembers each write."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0


class Cycle:
    waiting_for_100_continue = False


async def test_head_and_first_piece_are_one_write() -> None:
    for size, writes in ((3, 1), (65_536, 1), (65_537, 2)):
        raw = Written()
        out = AnswerTransport(
            cast("asyncio.Transport", raw),
            asyncio.get_running_loop(),
            limit_s=60,
            close=lambda: None,
            stuck=lambda: None,
        )

        async def send(message: Message, out: AnswerTransport = out) -> None:
            is_head = message["type"] == "http.response.start"
            out.write(b"HEAD " if is_head else message["body"])

        app = in_pieces(Response(b"x" * size), cast("Any", Cycle()), out)
        await app({"type": "http"}, cast("Any", None), send)
        assert len(raw.writes) == writes
        assert b"".join(raw.writes) == b"HEAD " + b"x" * size


def test_what_is_held_goes_out_before_the_end() -> None:
    raw, loop = Written(), asyncio.new_event_loop()
    out = AnswerTransport(
        cast("asyncio.Transport", raw), loop, limit_s=60, close=lambda: None, stuck=lambda: None
    )
    out.hold()
    out.write(b"HEAD")
    assert raw.writes == []
    out.close()
    assert raw.writes == [b"HEAD"]
    loop.close()
