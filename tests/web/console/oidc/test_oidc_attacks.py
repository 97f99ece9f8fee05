"""What somebody tries who should not get in; the issuer is left in peace meanwhile."""

from __future__ import annotations

import asyncio
import hmac
import json
import re
from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey
from structlog.testing import capture_logs

from rerankd.web.console.sessions import COOKIE
from rerankd.web.console.sign_in_paths import OIDC_COOKIE
from tests.kit.issuer import SUBJECT, Said, edwards, elliptic, rsa
from tests.web.console.oidc.coming import BEGIN, SITE, Console, problem_in

BACK = f"{SITE}/ui/sign-in/oidc/back"


def part(value: object) -> str:
    """A part of a token."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return urlsafe_b64encode(raw).decode().rstrip("=")


async def test_a_code_of_another_browser_signs_nobody_in(console: Console) -> None:
    theirs = console.issuer.authorize(await console.begin())  # an attacker's, not opened
    console.client.cookies.clear()
    answer = await console.client.get(theirs)
    assert answer.status_code == 400
    await console.begin()  # a victim's browser, under way itself
    answer = await console.client.get(theirs)
    assert answer.status_code == 400
    assert "not begun in this browser" in problem_in(answer.text)
    assert not await console.is_signed_in()
    assert console.issuer.count("/token") == 0


async def test_made_up_cookies_and_states_are_none(console: Console) -> None:
    for cookie in ("", ".", "..", "a.b.c", "x.9999999999.L3Vp", "ä", "." * 900):
        for state in ("", "x", "ä", "%00"):
            headers = {b"cookie": f"{OIDC_COOKIE}={cookie}".encode()}
            answer = await console.client.get(f"{BACK}?code=x&state={state}", headers=headers)
            assert answer.status_code == 400, (cookie, state)
    assert console.issuer.asked == []


async def test_a_cookie_that_was_changed_is_another(console: Console) -> None:
    begun = await console.client.get(BEGIN, params={"next": "/ui/keys"})
    random, ends, wanted = console.client.cookies[OIDC_COOKIE].split(".")
    back = console.issuer.authorize(begun.headers["location"])
    console.client.cookies.clear()
    for cookie in (
        f"{random}.{int(ends) + 9999}.{wanted}",
        f"{random}.{ends}.{part(b'https://evil.example')}",
        f"{random}x.{ends}.{wanted}",
    ):
        answer = await console.client.get(back, headers={"cookie": f"{OIDC_COOKIE}={cookie}"})
        assert answer.status_code == 400
    assert console.issuer.count("/token") == 0


async def test_a_way_back_leads_in_once(console: Console) -> None:
    begun = await console.client.get(BEGIN)
    cookie = {"cookie": f"{OIDC_COOKIE}={console.client.cookies[OIDC_COOKIE]}"}
    back = console.issuer.authorize(begun.headers["location"])
    assert (await console.client.get(back, headers=cookie)).status_code == 200
    console.client.cookies.clear()
    assert (await console.client.get(back, headers=cookie)).status_code == 400
    assert not await console.is_signed_in()
    assert console.issuer.count("/token") == 1


async def test_a_way_back_leads_in_once_also_at_the_same_time(console: Console) -> None:
    begun = await console.client.get(BEGIN)
    cookie = {"cookie": f"{OIDC_COOKIE}={console.client.cookies[OIDC_COOKIE]}"}
    back = console.issuer.authorize(begun.headers["location"])
    answers = await asyncio.gather(*(console.client.get(back, headers=cookie) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [200, *[400] * 9]


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"nonce": "of another sign-in"}, "nonce"),
        ({"nonce": None}, "nonce"),
        ({"nonce": 1}, "nonce"),
        ({"iss": "https://evil.example"}, "iss"),
        ({"iss": None}, "iss"),
        ({"aud": "another client"}, "aud"),
        ({"aud": ["another client"]}, "aud"),
        ({"aud": None}, "aud"),
        ({"aud": {"rerankd": 1}}, "aud"),
        ({"aud": ["rerankd", "another client"]}, "azp"),
        ({"aud": ["rerankd", "another client"], "azp": "another client"}, "azp"),
        ({"azp": "another client"}, "azp"),
        ({"exp": 1_000_000_000}, "exp"),
        ({"exp": None}, "exp"),
        ({"exp": "9999999999"}, "exp"),
        ({"exp": True}, "exp"),
        ({"iat": 9_999_999_999}, "iat"),
        ({"iat": None}, "iat"),
        ({"iat": True}, "iat"),
        ({"nbf": 9_999_999_999}, "nbf"),
        ({"sub": None}, "sub"),
        ({"sub": ""}, "sub"),
        ({"sub": 7}, "sub"),
    ],
    ids=str,
)
async def test_a_token_of_another_or_for_another_signs_nobody_in(
    console: Console, claims: Any, reason: str
) -> None:
    console.issuer.claims |= claims
    with capture_logs() as logs:
        answer = await console.sign_in()
    assert answer.status_code == 401
    assert not await console.is_signed_in()
    [entry] = [each for each in logs if each["event"] == "sign-in refused"]
    assert entry["reason"].startswith(f"the ID token: {reason} ")


def _unsigned(claims: Any) -> str:
    return f"{part({'alg': 'none'})}.{part(claims)}."


def _by_the_public_key(form: str) -> Callable[[Any], str]:
    """HS256, where the secret is what everybody knows."""
    secret = {
        "pem": rsa().as_pem(private=False),
        "jwk": json.dumps(rsa().as_dict(private=False)).encode(),
    }[form]

    def sign(claims: Any) -> str:
        signed = f"{part({'alg': 'HS256', 'kid': 'key-1'})}.{part(claims)}"
        return f"{signed}.{part(hmac.digest(secret, signed.encode(), 'sha256'))}"

    return sign


def _brings_its_key(claims: Any) -> str:
    other = rsa("of an attacker")
    header = {"alg": "RS256", "jwk": other.as_dict(private=False), "kid": "key-1"}
    return jwt.encode(header, claims, other, ["RS256"])


def _of_another(claims: Any) -> str:
    return jwt.encode({"alg": "RS256", "kid": "key-1"}, claims, rsa("of an attacker"), ["RS256"])


def _changed(claims: Any) -> str:
    header, _, signature = jwt.encode(
        {"alg": "RS256", "kid": "key-1"}, claims, rsa(), ["RS256"]
    ).split(".")
    return f"{header}.{part({**claims, 'groups': ['ops']})}.{signature}"


def _critical(claims: Any) -> str:
    header = {"alg": "RS256", "kid": "key-1", "crit": ["b64"], "b64": True}
    return jwt.encode(header, claims, rsa(), ["RS256"])


def _not_published(claims: Any) -> str:
    said = {name: value for name, value in rsa().as_dict(private=True).items() if name != "alg"}
    key = RSAKey.import_key(said)
    return jwt.encode({"alg": "RS512", "kid": "key-1"}, claims, key, ["RS512"])


TOKENS: dict[str, Callable[[Any], str]] = {
    "none": _unsigned,
    "HS256 by the public PEM": _by_the_public_key("pem"),
    "HS256 by the public JWK": _by_the_public_key("jwk"),
    "its own key in its header": _brings_its_key,
    "another key of that name": _of_another,
    "claims that were changed": _changed,
    "crit": _critical,
    "an algorithm that is not published": _not_published,
    "no token": lambda _: "x",
    "empty parts": lambda _: "..",
    "no JSON": lambda _: f"{part(b'x')}.{part(b'x')}.x",
    "a list": lambda _: f"{part([])}.{part([])}.x",
    "a deep header": lambda _: f"{part(b'[' * 5000)}.e30.x",
    "a long header": lambda _: f"{part({'alg': 'RS256', 'x': 'y' * 20000})}.e30.x",
    "alg of no text": lambda _: f"{part({'alg': ['RS256']})}.e30.x",
    "kid of no text": lambda _: f"{part({'alg': 'RS256', 'kid': {}})}.e30.x",
    "letters that are none": lambda _: "ä.ö.ü",
}


@pytest.mark.parametrize("made", TOKENS.values(), ids=TOKENS)
async def test_a_token_that_the_issuer_did_not_sign_signs_nobody_in(
    console: Console, made: Callable[[Any], str]
) -> None:
    console.issuer.sign = made
    with capture_logs() as logs:
        answer = await console.sign_in()
    assert answer.status_code == 401
    assert not await console.is_signed_in()
    [entry] = [each for each in logs if each["event"] == "sign-in refused"]
    assert entry["reason"].startswith("the ID token: ")


async def test_an_algorithm_that_the_issuer_does_not_name_is_none_of_its_own(
    console: Console,
) -> None:
    console.issuer.more = {"id_token_signing_alg_values_supported": ["ES256"]}
    assert (await console.sign_in()).status_code == 401
    console.issuer.more = {"id_token_signing_alg_values_supported": ["RS256"]}
    console.issuer.keys = [elliptic()]
    console.issuer.header = {"alg": "ES256", "kid": "key-ec"}
    assert (await console.sign_in()).status_code == 401


@pytest.mark.parametrize("alg", ["RS256", "ES256", "EdDSA"])
async def test_every_kind_of_key_is_found_among_others(console: Console, alg: str) -> None:
    keys = {"RS256": rsa(), "ES256": elliptic(), "EdDSA": edwards()}
    console.issuer.keys = [rsa("an old one"), *keys.values()]
    console.issuer.signer = keys[alg]
    console.issuer.header = {"alg": alg, "kid": keys[alg].kid}
    assert (await console.sign_in()).status_code == 200
    assert await console.is_signed_in()


@pytest.mark.parametrize(("more", "status"), [([elliptic], 200), ([rsa], 401)], ids=str)
async def test_a_key_without_a_name_is_the_only_one_of_its_kind(
    console: Console, more: list[Callable[[str], Any]], status: int
) -> None:
    console.issuer.keys = [rsa(), *(make("another") for make in more)]
    console.issuer.header = {"alg": "RS256"}
    assert (await console.sign_in()).status_code == status


async def test_a_new_key_is_looked_for_once_a_minute(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await console.sign_in()).status_code == 200
    new = rsa("a new key")
    console.issuer.signer, console.issuer.header = new, {"alg": "RS256", "kid": new.kid}
    for _ in range(3):
        assert (await console.sign_in()).status_code == 401
    assert console.issuer.count("/jwks") == 1
    monkeypatch.setattr("rerankd.web.console.oidc.issuer._AGAIN_S", 0.0)
    console.issuer.keys = [rsa(), new]
    assert (await console.sign_in()).status_code == 200
    assert console.issuer.count("/jwks") == 2


@pytest.mark.parametrize("iss", ["https://evil.example", ""])
async def test_an_answer_of_another_issuer_is_none(console: Console, iss: str) -> None:
    assert (await console.sign_in(iss=iss)).status_code == 401
    assert console.issuer.count("/token") == 0  # the other one's code is not given to ours


async def test_an_issuer_that_promises_nothing_need_not_name_itself(console: Console) -> None:
    console.issuer.more = {"authorization_response_iss_parameter_supported": False}
    assert (await console.sign_in(iss="")).status_code == 200
    assert (await console.sign_in(iss="https://evil.example")).status_code == 401


async def test_what_the_issuer_calls_an_error_is_a_word(console: Console) -> None:
    for said, shown in (
        ("access_denied", "access_denied"),
        ("<script>alert(1)</script>", "no reason"),
        ("Call 555 1234 and say your password", "no reason"),
    ):
        back = console.issuer.authorize(await console.begin(), error=quote(said), code="")
        answer = await console.client.get(f"{back}&error_description=Call+555")
        assert answer.status_code == 401
        assert problem_in(answer.text) == f"The issuer did not sign you in: {shown}."
        assert "555" not in answer.text
    answer = await console.client.get(f"{BACK}?error=access_denied&state=x")
    assert answer.status_code == 400  # nobody's page says what a link wants it to


@pytest.mark.parametrize(
    "wanted",
    [
        "https://evil.example",
        "//evil.example",
        "/ui\\..\\..\\evil",
        "/docs",
        "javascript:alert(1)",
        "/uix",
        '/ui" onload="x',
        "/ui;url=https://evil.example",
        "/ui/" + "x" * 5000,
    ],
)
async def test_a_sign_in_leads_to_the_console_only(console: Console, wanted: str) -> None:
    answer = await console.sign_in(wanted)
    assert answer.status_code == 200
    [leads] = re.findall(r'<meta http-equiv="refresh" content="0;url=([^"]*)">', answer.text)
    assert leads == "/ui"
    assert "evil" not in answer.text


async def test_a_page_of_the_console_is_written_so_that_it_stays_one(console: Console) -> None:
    answer = await console.sign_in('/ui/keys?name="><script>alert(1)</script>;url=//evil')
    assert "<script>alert" not in answer.text
    [leads] = re.findall(r'<meta http-equiv="refresh" content="0;url=([^"]*)">', answer.text)
    assert leads.startswith("/ui/keys?name=&#34;&gt;")


async def test_codes_go_to_the_address_of_the_settings_whatever_the_host(
    console: Console,
) -> None:
    for host in ("localhost:8000", "test", "evil.example"):
        answer = await console.client.get(BEGIN, headers={"host": host})
        if host == "evil.example":
            assert answer.status_code == 403
        else:
            asked = parse_qs(urlsplit(answer.headers["location"]).query)
            assert asked["redirect_uri"] == [BACK]


async def test_who_fails_too_often_waits_and_the_issuer_is_left_in_peace(
    console: Console,
) -> None:
    statuses = list[int]()
    for _ in range(25):
        begun = await console.begin()
        state = parse_qs(urlsplit(begun).query)["state"][0]
        back = f"{BACK}?code=guessed&state={state}&iss={console.issuer.url}"
        statuses.append((await console.client.get(back)).status_code)
    assert statuses == [401] * 20 + [429] * 5
    assert console.issuer.count("/token") == 20
    assert (await console.page("/ui/sign-in")).status_code == 200


async def test_so_many_codes_are_asked_about_at_once(console: Console) -> None:
    await console.begin()
    held = asyncio.Event()
    console.issuer.says["/token"] = Said(status=400, wait=held)
    backs = list[tuple[str, dict[str, str]]]()
    for _ in range(12):
        begun = await console.client.get(BEGIN)
        cookie = {"cookie": begun.headers["set-cookie"].partition(";")[0]}
        backs.append((console.issuer.authorize(begun.headers["location"]), cookie))
    console.client.cookies.clear()
    asking = [
        asyncio.ensure_future(console.client.get(back, headers=cookie)) for back, cookie in backs
    ]
    while sum(each.done() for each in asking) < 4:
        await asyncio.sleep(0.01)
    refused = [each.result() for each in asking if each.done()]
    assert {answer.status_code for answer in refused} == {503}
    assert all(answer.headers["retry-after"] == "2" for answer in refused)
    held.set()
    await asyncio.gather(*asking)
    assert console.issuer.count("/token") == 8


async def test_a_sign_in_is_another_session_than_the_one_before(console: Console) -> None:
    await console.sign_in()
    first = console.client.cookies[COOKIE]
    await console.sign_in()
    assert console.client.cookies[COOKIE] != first


async def test_only_what_is_read_leads_there(console: Console) -> None:
    for path in (BEGIN, BACK):
        assert (await console.client.post(path, data={"code": "x"})).status_code == 404


async def test_nothing_that_is_logged_is_a_secret(console: Console) -> None:
    console.issuer.claims = {"groups": ["none"]}
    begun = await console.begin()
    back = console.issuer.authorize(begun)
    with capture_logs() as logs:
        await console.client.get(back)
    asked = {n: v[0] for n, v in parse_qs(urlsplit(back).query).items()}
    said = json.dumps(logs, default=str)
    assert SUBJECT in said
    for secret in (asked["code"], asked["state"], "eyJ", "a secret"):
        assert secret not in said
