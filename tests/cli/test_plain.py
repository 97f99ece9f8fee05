"""What is parsed without the parser of commands means the same as with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from rerankd.cli.commands import app
from rerankd.cli.plain import plainly_given

PLAIN = [
    [],
    ["--model", "rerankd-mini"],
    ["--model", "a", "--model=b=/c,engine=torch", "--port", "0"],
    ["--host=::1", "--port", "08080", "--config", "a=b.toml"],
    ["--alias", "a=b", "--config=c/d.toml", "--alias=c=d"],
    ["--model", "a b", "--host", "localhost"],
]
NOT_PLAIN = [
    ["--help"],
    ["-h"],
    ["--version"],
    ["a"],
    ["--model"],
    ["--model", ""],
    ["--model="],
    ["--model", "a", "b"],
    ["--model", "--port"],
    ["--no-such", "1"],
    ["--port", "eighty"],
    ["--port", "8e3"],
    ["--port", "-1"],
    ["--port", "٨"],
    ["--port", "9" * 20],
    ["--port", "1", "--port", "2"],
    ["--config", "a", "--config", "b"],
    ["--"],
]


@pytest.mark.parametrize("words", PLAIN, ids=" ".join)
def test_what_is_plain_is_what_the_parser_finds(words: list[str]) -> None:
    _, bound, _ = app.parse_args(["serve", *words], print_error=False, exit_on_error=False)
    given = plainly_given(words)
    assert given is not None
    assert {n: value for n, value in given.items() if value is not None} == dict(bound.arguments)
    assert given["config"] is None or isinstance(given["config"], Path)


@pytest.mark.parametrize("words", NOT_PLAIN, ids=" ".join)
def test_what_is_not_plain_is_left_to_the_parser(words: list[str]) -> None:
    assert plainly_given(words) is None
