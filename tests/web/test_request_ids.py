"""Request ids: the day in UTC and 24 hex digits, drawn many at once, none twice."""

from __future__ import annotations

import re

import pytest

from rerankd.web import middleware
from rerankd.web.middleware import RequestIds


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
