"""Who gets into the console, by which form, and what nobody sees without."""

from __future__ import annotations

import re

import httpx2
import pytest
from structlog.testing import capture_logs

from rerankd.web.console.sessions import COOKIE, MOST, SECONDS, Sessions
from tests.kit.administered import Administered
from tests.kit.support import running

SIGN_IN = "/ui/sign-in"


async def signed_in(server: Administered, caller: str = "admin") -> httpx2.Response:
    """A sign-in with a caller's key; the client holds the cookie then."""
    form = {"key": server.texts[caller], "next": "/ui"}
    return await server.client.post(SIGN_IN, data=form)


def csrf_in(page: str) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', page)
    assert found is not None
    return found[1]


async def test_a_key_opens_the_console_and_the_cookie_is_out_of_reach(
    server: Administered,
) -> None:
    answer = await signed_in(server)
    assert (answer.status_code, answer.headers["location"]) == (303, "/ui")
    cookie = answer.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
    assert server.texts["admin"] not in cookie
    page = await server.client.get("/ui")
    assert page.status_code == 200
    assert "Overview" in page.text
    assert page.headers["cache-control"] == "no-store"
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert page.headers["referrer-policy"] == "same-origin"  # lest forms have "Origin: null"
    assert server.texts["admin"] not in page.text


@pytest.mark.parametrize("path", ["/ui", "/ui/keys", "/ui/nothing-there", "/ui/../ui/x"])
async def test_nobody_sees_more_than_the_form(server: Administered, path: str) -> None:
    answer = await server.client.get(path)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith(SIGN_IN)
    form = await server.client.get(answer.headers["location"])
    assert form.status_code == 200
    assert "Overview" not in form.text


@pytest.mark.parametrize("key", ["", "wrong", "sk-rerankd-nobody"])
async def test_a_wrong_key_is_told_so(server: Administered, key: str) -> None:
    answer = await server.client.post(SIGN_IN, data={"key": key})
    assert answer.status_code == 401
    assert "no key of this server" in answer.text
    assert "set-cookie" not in answer.headers


async def test_wrong_keys_count_as_everywhere(server: Administered) -> None:
    statuses = [
        (await server.client.post(SIGN_IN, data={"key": f"wrong-{i}"})).status_code
        for i in range(25)
    ]
    assert statuses[0] == 401
    assert statuses[-1] == 429


@pytest.mark.parametrize(
    "wanted", ["https://evil.example", "//evil.example", "/ui\\..\\x", "/docs", "javascript:1"]
)
async def test_a_sign_in_leads_to_the_console_only(server: Administered, wanted: str) -> None:
    form = {"key": server.texts["admin"], "next": wanted}
    answer = await server.client.post(SIGN_IN, data=form)
    assert answer.headers["location"] == "/ui"


async def test_a_form_needs_the_token_of_its_session(server: Administered) -> None:
    await signed_in(server)
    for form in ({}, {"csrf": "x"}, {"csrf": ""}):
        answer = await server.client.post("/ui/sign-out", data=form)
        assert answer.status_code == 403
    assert (await server.client.get("/ui")).status_code == 200
    token = csrf_in((await server.client.get("/ui")).text)
    answer = await server.client.post("/ui/sign-out", data={"csrf": token})
    assert answer.headers["location"] == SIGN_IN
    assert (await server.client.get("/ui")).status_code == 303


async def test_a_form_of_another_site_or_name_is_refused(server: Administered) -> None:
    await signed_in(server)
    token = csrf_in((await server.client.get("/ui")).text)
    for headers in (
        {"sec-fetch-site": "cross-site"},
        {"origin": "https://evil.example"},
        {"host": "evil.example"},
    ):
        answer = await server.client.post("/ui/sign-out", data={"csrf": token}, headers=headers)
        assert answer.status_code == 403
    assert (await server.client.get("/ui")).status_code == 200


async def test_a_revoked_key_is_signed_out(server: Administered) -> None:
    await signed_in(server, "read")
    assert (await server.client.get("/ui")).status_code == 200
    await server.good("DELETE", "/keys/read")
    assert (await server.client.get("/ui")).status_code == 303


async def test_what_fails_in_a_page_is_in_the_log(
    server: Administered, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    await signed_in(server)
    monkeypatch.setattr("rerankd.web.console.overview.page", fails)
    with capture_logs() as logs:
        answer = await server.client.get("/ui")
    assert answer.status_code == 500
    (entry,) = [each for each in logs if each["event"] == "request failed"]
    assert entry["request_id"] in answer.text


async def test_the_admin_api_takes_no_cookie(server: Administered) -> None:
    await signed_in(server)
    assert (await server.client.get("/admin/v1/keys")).status_code == 401


async def test_without_a_store_the_page_says_what_is_needed() -> None:
    async with running({}) as (client, _):
        answer = await client.get("/ui")
        assert answer.status_code == 200
        assert "needs a store" in answer.text
        assert (await client.get("/static/base.css")).status_code == 200
        assert (await client.get("/static/none.css")).status_code == 404


async def test_a_file_that_did_not_change_is_not_sent_again(server: Administered) -> None:
    first = await server.client.get("/static/base.css")
    assert first.headers["content-type"] == "text/css; charset=utf-8"
    tag = {"if-none-match": first.headers["etag"]}
    again = await server.client.get("/static/base.css", headers=tag)
    assert (again.status_code, again.content) == (304, b"")


def test_sessions_end_by_time_and_by_number() -> None:
    now = [0.0]
    sessions = Sessions(clock=lambda: now[0])
    first = sessions.begin(b"a")
    assert sessions.find(first) is not None
    assert sessions.find("") is None
    for _ in range(MOST):
        sessions.begin(b"b")
    assert len(sessions) == MOST
    assert sessions.find(first) is None
    last = sessions.begin(b"c")
    now[0] = SECONDS
    assert sessions.find(last) is None
    sessions.begin(b"d")
    assert len(sessions) == 1
    assert COOKIE == "rerankd_session"


async def test_every_colour_is_written_once_for_light_and_for_dark(server: Administered) -> None:
    css = (await server.client.get("/static/base.css")).text
    tokens = re.findall(r"^ *(--[\w-]+): (.*#.*);$", css, re.MULTILINE)
    assert len({name for name, _ in tokens}) == len(tokens) > 15
    assert all(re.fullmatch(r"light-dark\(#\w{6}, #\w{6}\)", value) for _, value in tokens)


async def test_only_paths_below_the_prefixes_are_the_consoles_and_the_apis(
    server: Administered,
) -> None:
    for path in ("/uix", "/admin/v1x", "/admin", "/admin/v"):
        answer = await server.client.get(path)
        assert (answer.status_code, answer.text) == (404, "404 page not found"), path
    assert (await server.client.get("/admin/v1")).json()["error"]["type"] == "unauthorized"
