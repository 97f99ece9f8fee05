"""Every page of the console is there for whom it is, and shows no more than it should."""

from __future__ import annotations

import pytest

from rerankd.web.console.mount import PAGES
from tests.kit.administered import Administered
from tests.web.console.browsing import Browser, text_of

LISTS = sorted(path for path in PAGES if "{" not in path and "export" not in path)


@pytest.mark.parametrize("path", [path for path in LISTS if path != "/requests/tail"])
async def test_an_administrator_sees_every_page(server: Administered, path: str) -> None:
    browser = await Browser.of(server)
    page = await browser.get(f"/ui{path}".rstrip("/"))
    assert 'aria-current="page"' in page
    assert "sk-" not in page


@pytest.mark.parametrize("path", [path for path in LISTS if path != "/"])
@pytest.mark.parametrize("role", ["call", "explain"])
async def test_callers_see_only_their_own_usage(server: Administered, path: str, role: str) -> None:
    browser = await Browser.of(server, role)
    page = await browser.get("/ui")
    assert "My usage" in page
    assert "/ui/keys" not in page
    assert f"role is {role}" in text_of(await browser.get(f"/ui{path}", 403))
    await browser.get("/ui/usage/export", 403)
    await browser.get("/ui/keys/1", 403)


@pytest.mark.parametrize("path", ["/keys", "/teams", "/budgets", "/prices", "/config/reload"])
@pytest.mark.parametrize("role", ["call", "read"])
async def test_only_administrators_change_anything(
    server: Administered, path: str, role: str
) -> None:
    browser = await Browser.of(server, role)
    form = {"name": "x", "model": "*", "unit": "requests", "amount": "1", "per_request": "1"}
    await browser.send(f"/ui{path}", form, 403)
    assert (await server.good("GET", "/budgets"))["data"] == []
    assert (await server.good("GET", "/prices"))["data"] == []


async def test_who_may_read_sees_usage_and_requests_of_the_ledger(server: Administered) -> None:
    browser = await Browser.of(server, "read")
    assert "Usage &amp; spend</h1>" in await browser.get("/ui")
    page = await browser.get("/ui/usage")
    assert "/ui/requests" in page
    assert "/ui/keys" not in page
    assert "Requests of the ledger" in await browser.get("/ui/requests")
    await browser.get("/ui/requests/tail", 403)


async def test_a_page_that_is_not_there(server: Administered) -> None:
    browser = await Browser.of(server)
    for path in ("/ui/nothing", "/ui/keys/1/2/3", "/ui/keys/99999", "/ui/teams/none"):
        await browser.get(path, 404)
    await browser.send("/ui/nothing", {}, 404)
