"""A class is asked once what it has."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from rerankd.engines.base import ListwiseEngine, Remembering, Sliced
from rerankd.engines.fake import FakeEngine
from rerankd.engines.kinds import is_a
from rerankd.engines.lexical import LexicalEngine


def test_it_says_what_isinstance_says() -> None:
    for thing in (LexicalEngine(), FakeEngine(), object(), 3):
        for protocol in (ListwiseEngine, Remembering, Sliced):
            for _ in range(2):
                assert is_a(thing, protocol) == isinstance(thing, protocol)


def test_a_class_is_asked_once() -> None:
    asked: list[str] = []

    class Counting:
        def __getattr__(self, name: str) -> object:
            asked.append(name)
            raise AttributeError(name)

    @runtime_checkable
    class Wanted(Protocol):
        def wanted(self) -> None: ...

    assert not is_a(Counting(), Wanted)
    first = len(asked)
    assert not is_a(Counting(), Wanted)
    assert len(asked) == first
