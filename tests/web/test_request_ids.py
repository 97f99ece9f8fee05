"""Request ids: the day in UTC and 24 hex digits, drawn many at once, none twice."""

from __future__ import annotations

import re
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from rerankd.web import middleware
from rerankd.web.drain import Drain
from rerankd.web.middleware import RequestId, RequestIds


def test_none_comes_twice_however_many_are_drawn() -> None:
    make = RequestIds()
    made = {make() for _ in range(1000)}
    assert len(made) == 1000
    assert all(re.fullmatch(r"rerank-\d{8}-[0-9a-f]{24}", each) for each in made)


def test_the_system_is_asked_once_for_many(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def token_hex(size: int) -> str:
        asked.append(size)
        return "".join(f"{i:024x}" for i in range(size // 12))

    monkeypatch.setattr(middleware.secrets, "token_hex", token_hex)
    make = RequestIds()
    made = {make() for _ in range(128)}
    assert len(made) == 128
    assert len(asked) == 1


def test_midnight_is_in_utc() -> None:
    seconds = 1_767_225_599.5  # 2025-12-31, half a second before its end
    make = RequestIds(lambda: seconds)
    assert make().startswith("rerank-20251231-")
    seconds += 1.0
    assert make().startswith("rerank-20260101-")


async def _ids(scope: Scope) -> set[str]:
    """The id that an app is given, and those that its answer has."""
    seen: set[str] = set()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.add(scope["state"]["request_id"])
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message: Message) -> None:
        seen.update(value.decode() for _, value in message["headers"])

    async def receive() -> Message:
        raise AssertionError

    await RequestId(app, Drain())(scope, receive, send)
    return seen


@pytest.mark.anyio
async def test_whoever_runs_the_app_may_have_made_the_id_and_a_caller_may_not() -> None:
    scope: dict[str, Any] = {"type": "http", "path": "/", "headers": [(b"x-request-id", b"mine")]}
    [made] = await _ids(dict(scope))
    assert made.startswith("rerank-")
    assert await _ids(scope | {"state": {"request_id": "given"}}) == {"given"}
