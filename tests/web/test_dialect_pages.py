"""What the dialects' pages say to paste works: every curl is sent to the real app."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.kit.support import real_client

DOCS = Path(__file__).parents[2] / "docs" / "dialects"
PAGES = sorted(page for page in DOCS.glob("*.md") if page.name != "README.md")
BASE = "http://127.0.0.1:8000"

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


@every_page
async def test_the_curl_of_a_page_is_answered_with_the_right_document(page: Path) -> None:
    for command in _curls(page):
        _, url, *options = shlex.split(command)
        headers = dict(value.split(": ", 1) for value in options[1:-1:2])
        assert url.startswith(BASE)
        assert {"-H"} == set(options[0:-2:2])
        assert "$KEY" in headers.get("Authorization", headers.get("Api-Key", ""))
        async with real_client({}) as client:
            response = await client.post(
                url.removeprefix(BASE), json=json.loads(options[-1]), headers=headers
            )
        assert response.status_code == 200, response.text
        if "embed" in url:
            assert _vectors(response.json()) == len(json.loads(options[-1])["input"])
        else:
            assert _best(response.json()) == 1  # Paris


def _curls(page: Path) -> list[str]:
    """The commands on a page, at least one."""
    commands = re.findall(r"^curl .+$", page.read_text(), re.MULTILINE)
    assert commands
    return commands


def _vectors(answer: Any) -> int:
    """How many there are, of a length that MiniLM's have."""
    found = [each["embedding"] for each in answer["data"]]
    assert {len(vector) for vector in found} == {384}
    return len(found)


def _best(answer: Any) -> int:
    """The index that is ranked first, wherever the provider's answer has it."""
    if isinstance(answer, list):  # TEI's
        return answer[0]["index"]  # pyright: ignore[reportUnknownVariableType] - JSON
    found: Any = answer.get("output", answer)
    if "scores" in found:  # DeepInfra does not rank
        return found["scores"].index(max(found["scores"]))
    return next(found[key] for key in ("results", "data", "rankings") if key in found)[0]["index"]


@every_page
def test_a_page_shows_its_clients_base_url(page: Path) -> None:
    text = page.read_text()
    snippets = re.findall(r"```python\n(.+?)```", text, re.DOTALL)
    if not snippets:
        assert "There is no SDK" in text
        assert f"`{BASE}/{page.stem}`" in text
    for snippet in snippets:
        compile(snippet, page.name, "exec")
    assert not snippets or any(BASE in snippet for snippet in snippets)
