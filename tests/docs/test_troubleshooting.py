"""docs/troubleshooting.md names every error, and quotes sentences that the code says."""

from __future__ import annotations

import ast
import re
from typing import get_args

import pytest
from reading import DOCS, ROOT, prose

from rerankd.core import errors

PAGE = prose(DOCS / "troubleshooting.md")


def kinds(base: type[errors.RerankError]) -> set[tuple[str, int]]:
    """(kind, status) of every error below a class."""
    found: set[tuple[str, int]] = set()
    for error in base.__subclasses__():
        if error.__module__.startswith("rerankd."):
            found |= {(error.kind, error.status)} | kinds(error)
    return found


def test_the_page_has_a_section_for_every_error() -> None:
    sections = re.findall(r"^## `(\w+)`: (\d+)$", PAGE, re.MULTILINE)
    assert sorted((kind, int(status)) for kind, status in sections) == sorted(
        kinds(errors.RerankError)
    )


def test_every_reason_is_named() -> None:
    classes = (errors.Forbidden, errors.QuotaExceeded, errors.SpaceUnavailable)
    limits = [errors.RateLimited(limit, retry_after_s=1) for limit in get_args(errors.Rate)]
    reasons = {f"`{found.reason}`" for found in (*classes, *limits)}
    reasons |= {"`expired`", "`revoked`", "`typo`", "`network`", "`role`"}
    assert reasons <= set(re.findall(r"`\w+`", PAGE))


def sentences() -> list[str]:
    """The first column, in backticks, of the tables that quote sentences."""
    found: list[str] = []
    quotes = False
    for line in PAGE.splitlines():
        if not line.startswith("|"):
            quotes = False
        elif line.startswith("| sentence |"):
            quotes = True
        elif quotes and not line.startswith("|--"):
            found += re.findall(r"^\| `(.+?)` \|", line)
    return found


def said() -> list[str]:
    """Every string constant of the source, parts of f-strings included."""
    return [
        node.value
        for path in sorted((ROOT / "src" / "rerankd").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]


def test_sentences_are_quoted() -> None:
    assert len(sentences()) > 25


@pytest.mark.parametrize("sentence", sentences())
def test_a_quoted_sentence_is_said(sentence: str) -> None:
    constants = said()
    for part in (part.strip() for part in sentence.split("…")):
        assert any(part in constant for constant in constants), part
