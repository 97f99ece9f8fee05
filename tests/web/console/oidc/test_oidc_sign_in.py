"""There and back again: who is signed in, as what, and what of the issuer's answer is believed."""

from __future__ import annotations

import asyncio
import hashlib
import re
from base64 import b64decode, urlsafe_b64encode
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

import pytest
from structlog.testing import capture_logs

from rerankd.web.console.sessions import COOKIE
from rerankd.web.console.sign_in_paths import OIDC_COOKIE
from tests.kit.issuer import CLIENT, SECRET, SUBJECT, Said
from tests.web.console.browsing import text_of
from tests.web.console.oidc.coming import BEGIN, SITE, Console, problem_in


async def test_an_issuer_signs_an_administrator_in(console: Console) -> None:
    form = await console.page("/ui/sign-in?next=/ui/keys?role=admin")
    assert "Sign in with Example &amp; Co" in form.text
    [href] = re.findall(r'href="(/ui/sign-in/oidc[^"]*)"', form.text)
    begun = await console.client.get(SITE + href.replace("&amp;", "&"))
    assert begun.status_code == 303
    with capture_logs() as logs:
        answer = await console.client.get(console.issuer.authorize(begun.headers["location"]))
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    # No redirect: the browser came from another site, and the session's cookie is for this one.
    assert '<meta http-equiv="refresh" content="0;url=/ui/keys?role=admin">' in answer.text
    page = await console.page("/ui/keys")
    assert page.status_code == 200
    assert "oidc:anna" in page.text
    [entry] = [each for each in logs if each["event"] == "signed in"]
    assert (entry["name"], entry["role"], entry["subject"]) == ("oidc:anna", "admin", SUBJECT)


async def test_what_is_asked_of_the_issuer(console: Console) -> None:
    location = await console.begin()
    asked = {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}
    assert asked["redirect_uri"] == f"{SITE}/ui/sign-in/oidc/back"
    assert asked["response_type"] == "code"
    assert asked["client_id"] == CLIENT
    assert asked["scope"].split()[0] == "openid"
    assert asked["code_challenge_method"] == "S256"
    assert len({asked["state"], asked["nonce"], asked["code_challenge"]}) == 3
    answer = await console.client.get(console.issuer.authorize(location))
    assert answer.status_code == 200
    [token] = [each for each in console.issuer.asked if each.path == "/token"]
    verifier = token.form["code_verifier"].encode()
    hashed = urlsafe_b64encode(hashlib.sha256(verifier).digest()).decode().rstrip("=")
    assert hashed == asked["code_challenge"]
    assert token.form["redirect_uri"] == asked["redirect_uri"]
    scheme, _, pair = token.headers["authorization"].partition(" ")
    name, _, secret = b64decode(pair).decode().partition(":")
    assert (scheme, unquote(name), unquote(secret)) == ("Basic", CLIENT, SECRET)
    assert "client_secret" not in token.form


async def test_a_secret_goes_into_the_form_where_the_issuer_takes_it_there_only(
    console: Console,
) -> None:
    console.issuer.more = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    assert (await console.sign_in()).status_code == 200
    [token] = [each for each in console.issuer.asked if each.path == "/token"]
    assert (token.form["client_id"], token.form["client_secret"]) == (CLIENT, SECRET)
    assert "authorization" not in token.headers


async def test_the_cookies_are_out_of_reach_and_the_way_back_has_its_own(console: Console) -> None:
    begun = await console.client.get(BEGIN)
    [cookie] = begun.headers.get_list("set-cookie")
    parts = set(cookie.split("; "))
    assert cookie.startswith(f"{OIDC_COOKIE}=")
    assert {"HttpOnly", "SameSite=lax", "Path=/ui/sign-in/oidc", "Max-Age=600"} <= parts
    back = await console.client.get(console.issuer.authorize(begun.headers["location"]))
    cookies = back.headers.get_list("set-cookie")
    [session] = [each for each in cookies if each.startswith(f"{COOKIE}=")]
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(session.split("; "))
    [gone] = [each for each in cookies if each.startswith(f"{OIDC_COOKIE}=")]
    assert "Max-Age=0" in gone


async def test_a_reader_sees_usage_and_changes_nothing(console: Console) -> None:
    console.issuer.claims = {"groups": ["finance"], "preferred_username": "ben"}
    assert (await console.sign_in()).status_code == 200
    assert (await console.page("/ui/usage")).status_code == 200
    assert (await console.page("/ui/keys")).status_code == 403


async def test_what_is_changed_by_somebody_is_logged_with_his_name(console: Console) -> None:
    await console.sign_in()
    page = (await console.page("/ui/teams")).text
    found = re.search(r'name="csrf" value="([^"]+)"', page)
    assert found is not None
    with capture_logs() as logs:
        answer = await console.client.post(
            f"{SITE}/ui/teams", data={"csrf": found[1], "name": "new team"}
        )
    assert answer.status_code == 303
    [entry] = [each for each in logs if each["event"] == "admin"]
    assert (entry["key"], entry["subject"], entry["status"]) == ("oidc:anna", SUBJECT, 201)


async def test_who_signed_in_is_no_key(console: Console) -> None:
    await console.sign_in()
    assert (await console.client.get(f"{SITE}/admin/v1/keys")).status_code == 401
    for key in ("", "oidc:anna", console.client.cookies[COOKIE]):
        headers = {"authorization": f"Bearer {key}"}
        answer = await console.client.get(f"{SITE}/admin/v1/keys", headers=headers)
        assert answer.status_code == 401


@pytest.mark.parametrize(
    ("claims", "userinfo", "page"),
    [
        ({}, {"groups": ["ops"]}, "/ui/keys"),
        ({"groups": None}, {"groups": ["finance"]}, "/ui/usage"),
        ({"groups": []}, {"email": "ben@example.com", "email_verified": True}, "/ui/usage"),
    ],
)
async def test_claims_that_the_token_lacks_are_asked_for(
    console: Console, claims: Any, userinfo: Any, page: str
) -> None:
    console.issuer.claims, console.issuer.userinfo = claims, userinfo
    assert (await console.sign_in()).status_code == 200
    assert (await console.page(page)).status_code == 200
    [asked] = [each for each in console.issuer.asked if each.path == "/userinfo"]
    assert asked.headers["authorization"] == "Bearer at"


async def test_the_token_wins_over_what_is_told_beside_it(console: Console) -> None:
    console.issuer.claims = {"groups": ["finance"]}
    console.issuer.userinfo = {"groups": ["ops"]}
    await console.sign_in()
    assert (await console.page("/ui/keys")).status_code == 403


async def test_claims_of_another_subject_sign_nobody_in(console: Console) -> None:
    console.issuer.claims = {}
    console.issuer.userinfo = {"groups": ["ops"], "sub": "somebody else"}
    assert (await console.sign_in()).status_code == 401
    assert not await console.is_signed_in()


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"groups": ["other"], "preferred_username": "eve"}, "eve"),
        ({"groups": "opsx", "email": "eve@example.com"}, SUBJECT),
        ({"groups": {"ops": True}}, SUBJECT),
        ({"email": "ben@example.com"}, SUBJECT),
        ({"email": "ben@example.com", "email_verified": False}, SUBJECT),
        ({"email": "ben@example.com", "email_verified": "false"}, SUBJECT),
        ({"groups": [["ops"], 1, None]}, SUBJECT),
        ({"preferred_username": "<script>alert(1)</script>"}, "<script>alert(1)</script>"),
    ],
)
async def test_nobody_else_gets_in(console: Console, claims: Any, name: str) -> None:
    console.issuer.claims = claims
    with capture_logs() as logs:
        answer = await console.sign_in()
    assert answer.status_code == 403
    assert f"This console is not for {name}." in text_of(answer.text)
    assert "<script>alert" not in answer.text
    assert not await console.is_signed_in()
    [entry] = [each for each in logs if each["event"] == "sign-in refused"]
    assert SUBJECT in entry["reason"]


@pytest.mark.parametrize(
    "name",
    ['<img src=x onerror="alert(1)">', '"><script>alert(1)</script>', "a\r\nset-cookie: x=y"],
)
async def test_a_name_is_text(console: Console, name: str) -> None:
    console.issuer.claims = {"groups": ["ops"], "preferred_username": name}
    answer = await console.sign_in()
    page = await console.page("/ui/teams")
    for text in (answer.text, page.text):
        assert "<img src=x" not in text
        assert "<script>alert" not in text
    assert not any(cookie == "x=y" for cookie in answer.headers.get_list("set-cookie"))
    shown = name.replace("\r\n", "")
    assert f"oidc:{shown}" in text_of(page.text)


async def test_who_is_told_no_may_sign_in_as_somebody_else(console: Console) -> None:
    console.issuer.claims = {"groups": ["none"]}
    answer = await console.sign_in("/ui/keys")
    assert "Sign in with Example &amp; Co as somebody else" in answer.text
    [href] = re.findall(r'href="(/ui/sign-in/oidc[^"]*)"', answer.text)
    begun = await console.client.get(SITE + href.replace("&amp;", "&"))
    asked = parse_qs(urlsplit(begun.headers["location"]).query)
    assert asked["prompt"] == ["login"]  # else it knows him, and sends him back
    assert "prompt" not in parse_qs(urlsplit(await console.begin()).query)


async def test_somebody_administers_a_server_that_has_no_key_of_an_administrator(
    console: Console,
) -> None:
    await console.sign_in()
    which = console.server.keys.get("admin").id
    page = (await console.page(f"/ui/keys/{which}")).text
    hidden = {n: re.search(rf'name="{n}" value="([^"]+)"', page) for n in ("csrf", "version")}
    form = {name: found[1] for name, found in hidden.items() if found is not None}
    answer = await console.client.post(f"{SITE}/ui/keys/{which}/revoke", data=form)
    assert answer.status_code == 303, problem_in(answer.text)
    assert not console.server.keys.administrators()


async def test_somebody_signs_out(console: Console) -> None:
    await console.sign_in()
    page = (await console.page("/ui/usage")).text
    found = re.search(r'name="csrf" value="([^"]+)"', page)
    assert found is not None
    answer = await console.client.post(f"{SITE}/ui/sign-out", data={"csrf": found[1]})
    assert answer.headers["location"] == "/ui/sign-in"
    assert not await console.is_signed_in()


async def test_keys_sign_in_as_before(console: Console) -> None:
    form = {"key": console.server.texts["read"], "next": "/ui"}
    answer = await console.client.post(f"{SITE}/ui/sign-in", data=form)
    assert answer.status_code == 303
    assert await console.is_signed_in()


async def test_a_wrong_key_is_told_at_its_field_the_issuers_no_at_its_button(
    console: Console,
) -> None:
    answer = await console.client.post(f"{SITE}/ui/sign-in", data={"key": "wrong"})
    assert answer.text.index("or with a key") < answer.text.index('id="problem"')
    assert 'aria-describedby="problem"' in answer.text
    answer = await console.sign_in(error="access_denied")
    assert answer.text.index("access_denied") < answer.text.index("or with a key")
    assert "aria-invalid" not in answer.text
    assert "as somebody else" not in answer.text


async def test_the_way_to_the_issuer_begins_under_the_name_that_it_leads_back_to(
    console: Console,
) -> None:
    page = await console.client.get("http://localhost:8000/ui/sign-in?next=/ui/keys")
    assert f'href="{BEGIN}?next={quote("/ui/keys", safe="")}"' in page.text


async def test_an_issuer_that_is_away_is_said_so_and_keys_go_on(console: Console) -> None:
    away = "/.well-known/openid-configuration"
    console.issuer.says[away] = Said(status=503)
    with capture_logs() as logs:
        answers = [await console.client.get(BEGIN) for _ in range(5)]
    assert {answer.status_code for answer in answers} == {503}
    assert "does not answer" in problem_in(answers[0].text)
    assert "set-cookie" not in answers[0].headers
    assert console.issuer.count(away) == 1  # it has a rest
    [entry] = [each for each in logs if each["event"] == "the issuer cannot be asked"]
    assert "503" in entry["reason"]
    await test_keys_sign_in_as_before(console)


async def test_the_issuer_is_asked_once_for_all_who_begin(console: Console) -> None:
    await asyncio.gather(*(console.begin() for _ in range(20)))
    assert console.issuer.count("/.well-known/openid-configuration") == 1
