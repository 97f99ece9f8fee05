"""Keys, teams, budgets and prices by forms: made, changed, refused at the field, ended."""

from __future__ import annotations

import re

import pytest

from tests.kit.administered import Administered
from tests.web.console.browsing import Browser, text_of

EVIL = '"><script>alert(1)</script>'


async def made(browser: Browser, **form: str) -> str:
    """The id of a new key."""
    await browser.send("/ui/keys", {"role": "call", **form}, 200)
    found = re.search(r'href="/ui/keys/(\d+)"', browser.page)
    assert found is not None
    return found[1]


async def test_a_keys_text_is_shown_once_and_is_good(server: Administered) -> None:
    browser = await Browser.of(server)
    key = await made(browser, name="new", rpm="60", models="fake-*\nother")
    found = re.search(r'<pre id="key"[^>]*>([^<]+)</pre>', browser.page)
    assert found is not None
    assert "other" in browser.page  # a warning: nobody serves that
    answer = await server.client.get("/v1/usage", headers={"authorization": f"Bearer {found[1]}"})
    assert answer.status_code == 200
    for path in (f"/ui/keys/{key}", "/ui/keys", "/ui"):
        assert found[1] not in await browser.get(path)
    shown = await server.good("GET", f"/keys/{key}")
    assert (shown["rpm"], shown["models"], shown["role"]) == (60, ["fake-*", "other"], "call")


async def test_what_the_api_refuses_stands_at_its_field(server: Administered) -> None:
    browser = await Browser.of(server)
    for form, field in (
        ({"name": " "}, "name"),
        ({"name": "x", "rpm": "many"}, "rpm"),
        ({"name": "x", "rpm": "0"}, "rpm"),
        ({"name": "x", "networks": "10.0.0.0/8, nowhere"}, "networks"),
        ({"name": "x", "expires_at": "soon"}, "expires_at"),
    ):
        await browser.send("/ui/keys", {"role": "call", **form}, 400)
        wrong = re.search(r'id="(\w+)" name="\w+"[^>]* aria-invalid="true"', browser.page)
        assert wrong is not None, text_of(browser.page)
        assert wrong[1] == field
        assert f'id="{field}-said" class="problem"' in browser.page
        if form["name"].strip():
            assert 'value="x"' in browser.page
    await browser.send("/ui/keys", {"name": "admin", "role": "call"}, 409)
    assert "admin" in text_of(browser.page)


async def test_a_key_is_changed_where_the_form_differs(server: Administered) -> None:
    browser = await Browser.of(server)
    key = await made(browser, name="k", rpm="60", note="first\r\nsecond")
    await browser.get(f"/ui/keys/{key}")
    version = browser.hidden("version")
    form = {"version": version, "name": "k", "note": "first\r\nsecond", "rpm": "", "tpm": "9"}
    assert "The key is changed." in await browser.done(f"/ui/keys/{key}", form)
    shown = await server.good("GET", f"/keys/{key}")
    assert (shown["rpm"], shown["tpm"], shown["note"]) == (None, 9, "first\r\nsecond")
    again = {"version": browser.hidden("version"), "name": "k", "tpm": "9"}
    assert "Nothing was changed." in await browser.done(f"/ui/keys/{key}", again)
    await browser.send(f"/ui/keys/{key}", {"version": version, "name": "k", "tpm": "10"}, 409)
    assert (await server.good("GET", f"/keys/{key}"))["tpm"] == 9


async def test_a_key_is_rotated_and_revoked(server: Administered) -> None:
    browser = await Browser.of(server)
    key = await made(browser, name="k")
    first = re.search(r'<pre id="key"[^>]*>([^<]+)</pre>', browser.page)
    assert first is not None
    await browser.get(f"/ui/keys/{key}")
    version = browser.hidden("version")
    await browser.send(f"/ui/keys/{key}/rotate", {"version": version, "grace": "long"}, 400)
    assert "no span of time" in browser.page
    await browser.send(f"/ui/keys/{key}/rotate", {"version": version, "grace": "0"}, 200)
    assert first[1] not in browser.page
    headers = {"authorization": f"Bearer {first[1]}"}
    assert (await server.client.get("/v1/usage", headers=headers)).status_code == 401
    await browser.send(f"/ui/keys/{key}/rotate", {"version": version, "grace": "0"}, 409)
    await browser.get(f"/ui/keys/{key}")
    form = {"version": browser.hidden("version")}
    assert "k is revoked." in text_of(await browser.done(f"/ui/keys/{key}/revoke", form))
    assert (await server.good("GET", f"/keys/{key}"))["state"] == "revoked"


async def test_the_last_administrator_stays(server: Administered) -> None:
    browser = await Browser.of(server)
    me = (await server.good("GET", "/keys/admin"))["id"]
    await browser.get(f"/ui/keys/{me}")
    form = {"version": browser.hidden("version")}
    await browser.send(f"/ui/keys/{me}/revoke", form, 409)
    assert "no key could administer this server" in text_of(browser.page)


async def test_the_list_has_pages_and_a_filter(server: Administered) -> None:
    for i in range(60):
        await server.good("POST", "/keys", {"name": f"many-{i:02}"})
    browser = await Browser.of(server)
    page = await browser.get("/ui/keys?text=many")
    assert page.count("many-") == 50
    following = re.search(r'href="(/ui/keys\?[^"]+)">Next page', page)
    assert following is not None
    page = await browser.get(following[1].replace("&amp;", "&"))
    assert page.count("many-") == 10
    assert "many-59" in page
    assert "No key fits." in await browser.get("/ui/keys?text=nobody")
    assert "file" in text_of(await browser.get("/ui/keys?source=file"))


async def test_teams_are_made_changed_and_archived(server: Administered) -> None:
    browser = await Browser.of(server)
    page = await browser.done("/ui/teams", {"name": "crew", "rpm": "100"})
    assert "The team is made." in page
    team = (await server.good("GET", "/teams/crew"))["id"]
    assert "/ui/keys/new?team=crew" in page
    form = {"version": browser.hidden("version"), "name": "crew", "rpm": "200"}
    await browser.done(f"/ui/teams/{team}", form)
    assert (await server.good("GET", "/teams/crew"))["rpm"] == 200
    await browser.done(f"/ui/teams/{team}/archive", {"version": browser.hidden("version")})
    assert "archived" in text_of(browser.page)
    form = {"version": browser.hidden("version"), "archived": "false"}
    await browser.done(f"/ui/teams/{team}/archive", form)
    assert (await server.good("GET", "/teams/crew"))["archived_at"] is None
    await browser.send("/ui/teams", {"name": "crew"}, 409)
    assert "crew" in browser.page


async def test_budgets_are_given_changed_and_ended(server: Administered) -> None:
    browser = await Browser.of(server)
    key = await made(browser, name="k")
    form = {"unit": "money", "amount": "20.50", "window": "month", "tz": "UTC"}
    assert "20.50 USD per month" in await browser.done(f"/ui/keys/{key}/budget", form)
    (budget,) = (await server.good("GET", f"/budgets?key={key}"))["data"]
    form = {"version": str(budget["version"]), "amount": "7", "back": f"/ui/keys/{key}"}
    assert "7.00 USD per month" in await browser.done(f"/ui/budgets/{budget['id']}/amount", form)
    assert "Key k" in await browser.get("/ui/budgets")
    await browser.send(f"/ui/budgets/{budget['id']}/amount", {"amount": "8", "version": "1"}, 409)
    form = {"version": str(budget["version"] + 1), "back": "https://evil.example"}
    answer = await browser.send(f"/ui/budgets/{budget['id']}/end", form)
    assert answer.headers["location"] == "/ui/budgets"
    assert "Key k" not in await browser.get("/ui/budgets")
    assert "ended" in text_of(await browser.get("/ui/budgets?ended=true"))
    await browser.send("/ui/budgets", {"unit": "money", "amount": "much", "window": "day"}, 400)
    assert 'id="amount-said" class="problem"' in browser.page
    form = {"unit": "requests", "amount": "9", "window": "day", "tz": "UTC"}
    assert "Everybody" in await browser.done("/ui/budgets", form)


async def test_a_top_up_sent_twice_is_paid_in_once(server: Administered) -> None:
    browser = await Browser.of(server)
    key = await made(browser, name="k")
    await browser.get(f"/ui/keys/{key}")
    form = {"once": browser.hidden("once"), "amount": "50", "note": EVIL}
    page = await browser.done(f"/ui/keys/{key}/top-up", form)
    assert "50.00 USD are paid in." in page
    assert EVIL not in page
    await browser.done(f"/ui/keys/{key}/top-up", form)
    found = await server.good("GET", f"/budgets/keys/{key}/top-ups")
    assert [each["amount"] for each in found["data"]] == ["50"]
    form = {"once": "another", "amount": "-1"}
    await browser.send(f"/ui/keys/{key}/top-up", form, 400)
    await browser.done(f"/ui/keys/{key}/top-up", {**form, "amount": "1"})


@pytest.mark.parametrize("kind", ["price", "cost"])
async def test_prices_and_costs_are_added(server: Administered, kind: str) -> None:
    browser = await Browser.of(server)
    form = {"model": "m", "upstream": "u", "per_1m_input_tokens": "0.02"}
    page = await browser.done(f"/ui/{kind}s", form)
    assert "0.02" in text_of(page)
    (added,) = (await server.good("GET", f"/{kind}s"))["data"]
    assert (added["model"], added["per_1m_input_tokens"]) == ("m", "0.02")
    await browser.send(f"/ui/{kind}s", {**form, "per_request": "cheap"}, 400)
    assert f'id="{kind}-per_request-said" class="problem"' in browser.page


async def test_names_and_notes_are_text_and_nothing_else(server: Administered) -> None:
    browser = await Browser.of(server)
    await browser.done("/ui/teams", {"name": EVIL, "note": EVIL})
    team = (await server.good("GET", "/teams"))["data"][0]["id"]
    key = await made(browser, name=EVIL, team=EVIL, note=EVIL, models=EVIL, tags=EVIL)
    await browser.done(
        f"/ui/keys/{key}/budget", {"unit": "requests", "amount": "1", "window": "day", "tz": "UTC"}
    )
    await browser.done("/ui/prices", {"model": EVIL, "per_request": "1"})
    for path in (
        *("/ui", "/ui/keys", f"/ui/keys/{key}", "/ui/teams", f"/ui/teams/{team}", "/ui/budgets"),
        *("/ui/prices", "/ui/keys/new", f"/ui/keys?text={EVIL}", f"/ui/requests?text={EVIL}"),
        f"/ui/requests/ledger?model={EVIL}",
    ):
        page = await browser.get(path)
        assert "<script>alert" not in page, path
    await browser.send("/ui/keys", {"name": EVIL * 9, "role": EVIL}, 400)
    assert "<script>alert" not in browser.page
