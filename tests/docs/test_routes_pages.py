"""The pages about routes: their table is the code's, their settings run against fake providers."""

from __future__ import annotations

import asyncio
import contextlib
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from reading import DOCS, Block, all_blocks, blocks
from shell_tools import curl_of
from test_snippets import MARKED, ROUTED, commands, without_variables

from rerankd.cli.commands import app
from rerankd.dialects.registry import callable_dialects
from rerankd.gateway.failover import RULES
from rerankd.gateway.plan import gateway_plan
from rerankd.settings.load import load
from rerankd.web.assemble import plan_of
from tests.kit.processes import serving
from tests.kit.providers import KEY, Fake, listen

PAGE = DOCS / "routes.md"
WITH_ROUTES = [block for block in all_blocks("toml") if "[upstream." in block.text]


def ids(block: Block) -> str:
    return block.name


def test_the_table_has_every_outcome_with_what_follows() -> None:
    text = PAGE.read_text("utf-8").split("## Failover")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| .+? \| (.+?) \| (.+?) \| ([\d, ]+) \|$", text, re.MULTILINE)
    assert [name for name, *_ in rows] == list(RULES)
    for name, following, upstream, _ in rows:
        rule = RULES[name]
        assert following.startswith("yes" if rule.goes_on else "no"), name
        marks = {"good": "counts as good", "bad": "counts as bad"}
        assert rule.mark == next((m for m, said in marks.items() if said in upstream), "none"), name
        assert ("rests" in upstream) == (rule.rests in ("key", "upstream")), name
        assert ("pauses" in upstream) == (rule.rests in ("key, long", "name")), name


def variables(text: str) -> dict[str, str]:
    """A key for every variable that the settings name."""
    return dict.fromkeys(re.findall(r'"([A-Z][A-Z0-9_]+)"', text), KEY)


@pytest.mark.parametrize("block", WITH_ROUTES, ids=ids)
def test_settings_are_routes_that_can_be_served(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "rerankd.toml"
    file.write_text(block.text, "utf-8")
    settings = load(file, {}, {}).settings
    plan = gateway_plan(
        settings, plan_of(settings), variables(block.text), look_up=lambda _: ["1.1.1.1"]
    )
    assert plan.upstreams.keys() == settings.upstream.keys()


def test_the_pages_have_settings_and_requests() -> None:
    assert {PAGE, DOCS / "integrations" / "providers.md"} <= {block.page for block in WITH_ROUTES}
    assert sum("curl " in block.text for page in ROUTED for block in blocks(page, "sh")) >= 5
    assert MARKED["docs/integrations/providers.md"] == 1


@pytest.mark.parametrize(
    "block", [b for page in sorted(ROUTED) for b in blocks(page, "sh")], ids=ids
)
def test_commands_of_rerankd_are_commands(block: Block) -> None:
    for words in map(without_variables, commands(block.text)):
        if words[0] == "rerankd":
            app.parse_args(words[1:], exit_on_error=False, print_error=False)
        else:
            assert words[0] == "curl" or block.reason, words


def requests() -> list[tuple[Block, Block]]:
    """Each curl with the settings before it."""
    found: list[tuple[Block, Block]] = []
    for page in sorted(ROUTED):
        settings: Block | None = None
        for block in blocks(page):
            if block.language == "toml":
                settings = block
            elif "curl " in block.text and settings is not None:
                found.append((settings, block))
    return found


async def answer_of(settings: Block, request: Block, file: Path) -> Any:
    """What a server with these settings, whose upstreams are fakes, answers."""
    text = settings.text
    async with contextlib.AsyncExitStack() as stack:
        for upstream in tomllib.loads(text)["upstream"].values():
            fake = Fake(callable_dialects()[upstream["dialect"]])
            port = await stack.enter_async_context(listen(fake))
            path = "/" + upstream["url"].partition("://")[2].partition("/")[2]
            url = f"http://127.0.0.1:{port}{path.rstrip('/')}"
            text = text.replace(f'"{upstream["url"]}"', f'"{url}"')
        (words,) = commands(request.text)

        def asked() -> Any:
            file.write_text(text, "utf-8")
            command = ["-m", "rerankd", "serve", "--port", "0", "--config", str(file)]
            with serving(command, env=variables(text)) as server:
                return curl_of(words[1:]).send(server.url)

        return await asyncio.to_thread(asked)


@pytest.mark.parametrize(
    ("settings", "request_"), requests(), ids=lambda block: block.name if block else ""
)
async def test_a_request_is_answered_by_the_provider(
    settings: Block, request_: Block, tmp_path: Path
) -> None:
    answer = await answer_of(settings, request_, tmp_path / "rerankd.toml")
    assert answer.status_code == 200, answer.text
    first = next(iter(tomllib.loads(settings.text)["upstream"]))
    if settings.page == PAGE:
        first = "jina"  # which the route "search" asks
    assert answer.headers["x-rerankd-route"].startswith(f"{first}/"), answer.headers
    assert '"index":1' in answer.text
