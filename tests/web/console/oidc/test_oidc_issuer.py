"""An issuer that is away, slow, huge, leads elsewhere or says what cannot be used."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from structlog.testing import capture_logs

from rerankd.gateway.peer import Peer, place_of
from rerankd.web.console.oidc.begun import SignIns
from rerankd.web.console.oidc.issuer import Client, Issuer
from rerankd.web.console.sign_in_failed import IssuerAway
from tests.kit.issuer import CLIENT, FakeIssuer, Said, issuing, rsa
from tests.web.console.oidc.coming import BEGIN, Console, problem_in

DOCUMENT = "/.well-known/openid-configuration"
HUGE = 300_000


def issuer_at(url: str, **clocks: Any) -> Issuer:
    client = Client(id=CLIENT, secret="s", back="https://x.test/back", scope="openid")
    return Issuer(url, client, Peer((), user_agent="rerankd/test"), **clocks)


@pytest.fixture
async def found() -> AsyncGenerator[FakeIssuer]:
    async with issuing() as issuer:
        yield issuer


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (Said(status=404), "status 404"),
        (Said(status=302, headers=("location: http://127.0.0.1:1/",)), "status 302"),
        (Said(body=b"x" * HUGE), "bad_answer"),
        (Said(body=b'{"a":' * 40_000), "no JSON"),
        (Said(body=b"<html>"), "no JSON"),
        (Said(body=b"\xff\xfe"), "no JSON"),
        (Said.json([]), "no JSON"),
        (Said.json({"issuer": "x"}), "not what it must hold"),
        (Said(headers=("content-encoding: gzip",)), "bad_answer"),
        (Said(body=b"", headers=("transfer-encoding: chunked",)), "unreachable"),
    ],
    ids=[
        "404",
        "redirect",
        "huge",
        "deep",
        "html",
        "bytes",
        "list",
        "part",
        "gzip",
        "both lengths",
    ],
)
async def test_a_document_that_cannot_be_used(found: FakeIssuer, said: Said, reason: str) -> None:
    found.says[DOCUMENT] = said
    issuer = issuer_at(found.url)
    with pytest.raises(IssuerAway) as failed:
        await issuer.discovery()
    assert reason in failed.value.reason
    issuer.close()


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"issuer": "https://evil.example"}, "calls itself 'https://evil.example'"),
        ({"token_endpoint": "http://10.0.0.1/token"}, "no https:// URL"),
        ({"jwks_uri": "http://evil.example/"}, "no https:// URL"),
        ({"jwks_uri": "file:///etc/passwd"}, "no http:// or https:// URL"),
        ({"jwks_uri": "//x"}, "no http:// or https:// URL"),
        ({"jwks_uri": ""}, "too long, or has characters"),
        ({"authorization_endpoint": "javascript:alert(1)"}, "no http:// or https:// URL"),
        ({"authorization_endpoint": "https://x.test/\r\nset-cookie: a=b"}, "characters"),
        ({"authorization_endpoint": "https://u:p@x.test/"}, "user or a password"),
        ({"token_endpoint": "https://x.test/" + "x" * 3000}, "too long"),
        ({"userinfo_endpoint": "http://x.test/"}, "no https:// URL"),
        ({"token_endpoint": 7}, "not what it must hold"),
    ],
    ids=str,
)
async def test_where_it_leads_is_looked_at_first(found: FakeIssuer, more: Any, reason: str) -> None:
    found.more = more
    issuer = issuer_at(found.url)
    with pytest.raises(IssuerAway) as failed:
        await issuer.discovery()
    assert reason in failed.value.reason
    assert found.count(DOCUMENT) == len(found.asked) == 1
    issuer.close()


@pytest.mark.parametrize("name", ["token_endpoint", "jwks_uri", "userinfo_endpoint"])
@pytest.mark.parametrize(
    "url", ["https://127.0.0.1/x", "https://localhost/x", "https://[::1]/x", "http://127.0.0.1/x"]
)
def test_an_issuer_elsewhere_does_not_lead_to_this_machine(name: str, url: str) -> None:
    issuer = issuer_at("https://issuer.test")
    with pytest.raises(IssuerAway):
        issuer._place(url, name)  # pyright: ignore[reportPrivateUsage]
    issuer.close()


@pytest.mark.parametrize("host", ["10.1.2.3", "169.254.169.254", "192.168.0.1", "[fd00::1]"])
async def test_a_private_address_needs_an_entry(host: str) -> None:
    issuer = issuer_at(f"https://{host}")
    with pytest.raises(IssuerAway) as failed:
        await issuer.discovery()
    assert "unreachable" in failed.value.reason
    issuer.close()


async def test_an_issuer_that_does_not_answer_is_waited_for_so_long(
    found: FakeIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rerankd.web.console.oidc.issuer._ANSWER_S", 0.2)
    held = asyncio.Event()
    found.says[DOCUMENT] = Said(wait=held)
    issuer = issuer_at(found.url)
    began = time.monotonic()
    answers = await asyncio.gather(*(issuer.discovery() for _ in range(50)), return_exceptions=True)
    assert all(isinstance(answer, IssuerAway) for answer in answers)
    assert found.count(DOCUMENT) == 1  # those who waited behind do not ask again
    assert time.monotonic() - began < 20
    held.set()
    issuer.close()


async def test_who_begins_does_not_wait_for_those_who_come_back(console: Console) -> None:
    location = await console.begin()
    held = asyncio.Event()
    console.issuer.says["/jwks"] = Said(status=500, wait=held)
    back = asyncio.ensure_future(console.client.get(console.issuer.authorize(location)))
    while not console.issuer.count("/jwks"):
        await asyncio.sleep(0.01)
    await console.begin()
    assert not back.done()
    held.set()
    assert (await back).status_code == 503


async def test_all_that_is_asked_for_one_code_has_a_time(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rerankd.web.console.oidc.sign_in._ALL_S", 0.2)
    held = asyncio.Event()
    console.issuer.says["/jwks"] = Said(wait=held)
    answer = await console.sign_in()
    assert answer.status_code == 503
    held.set()


@pytest.mark.parametrize("path", ["/token", "/jwks"])
@pytest.mark.parametrize(
    "said",
    [
        Said(body=b"x" * HUGE),
        Said(status=307, headers=("location: /elsewhere",)),
        Said(status=500),
        Said(body=b"[]"),
        Said.json({"keys": [], "id_token": 7}),
    ],
    ids=["huge", "redirect", "500", "list", "wrong"],
)
async def test_other_answers_that_cannot_be_used(console: Console, path: str, said: Said) -> None:
    console.issuer.says[path] = said
    answer = await console.sign_in()
    is_empty_set = path == "/jwks" and b"keys" in said.body
    assert answer.status_code == (401 if is_empty_set else 503)
    assert console.issuer.count("/elsewhere") == 0
    assert not await console.is_signed_in()


async def test_a_set_with_keys_that_nobody_can_read_has_the_others(console: Console) -> None:
    strange: list[Any] = [
        {},
        {"kty": "RSA"},
        {"kty": "RSA", "n": "x", "e": 7, "kid": "key-1"},
        {"kty": "EC", "crv": "P-999", "x": "AA", "y": "AA"},
        {"kty": "oct", "k": "c2VjcmV0", "kid": "key-1"},
        {"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA"},
        {**rsa("for encryption").as_dict(private=False), "use": "enc", "kid": "key-1"},
        {"kty": ["RSA"]},
        {"kty": "OKP", "crv": "Ed25519", "x": "A" * 10},
    ]
    content = {"keys": [*strange, rsa().as_dict(private=False)]}
    console.issuer.says["/jwks"] = Said.json(content)
    assert (await console.sign_in()).status_code == 200


async def test_the_document_and_the_keys_are_asked_for_again_after_an_hour(
    found: FakeIssuer,
) -> None:
    now = [0.0]
    issuer = issuer_at(found.url, clock=lambda: now[0])
    for at, times in ((0.0, 1), (3_599.0, 1), (3_600.0, 2)):
        now[0] = at
        await issuer.discovery()
        assert found.count(DOCUMENT) == times
    issuer.close()


async def test_after_a_failure_it_has_a_rest(found: FakeIssuer) -> None:
    now = [0.0]
    issuer = issuer_at(found.url, clock=lambda: now[0])
    found.says[DOCUMENT] = Said(status=500)
    for at, times in ((0.0, 1), (4.9, 1), (5.1, 2)):
        now[0] = at
        with pytest.raises(IssuerAway):
            await issuer.discovery()
        assert found.count(DOCUMENT) == times
    found.says.clear()
    now[0] = 20.0
    await issuer.discovery()
    issuer.close()


@pytest.mark.parametrize("path", ["/", "/realms/main", "/realms/main/"])
async def test_a_name_with_a_path_or_a_slash_is_that_to_the_letter(
    found: FakeIssuer, path: str
) -> None:
    url = found.url + path
    found.says[path.rstrip("/") + DOCUMENT] = Said.json({**found.discovery(), "issuer": url})
    issuer = issuer_at(url)
    assert (await issuer.discovery()).issuer == url
    other = issuer_at(url.removesuffix("/") if url.endswith("/") else url + "/")
    with pytest.raises(IssuerAway):
        await other.discovery()
    issuer.close()
    other.close()


async def test_its_page_may_have_a_query_of_its_own(found: FakeIssuer) -> None:
    found.more = {"authorization_endpoint": f"{found.url}/authorize?policy=b2c"}
    issuer = issuer_at(found.url)
    where = await issuer.address(SignIns(600).begin("/ui", "/ui"))
    assert where.startswith(f"{found.url}/authorize?policy=b2c&response_type=code&")
    assert place_of(f"{found.url}/token?p=x").target == "/token?p=x"
    assert place_of(found.url).target == "/"
    issuer.close()


async def test_an_issuer_that_refuses_this_server_is_the_operators_to_mend(
    console: Console,
) -> None:
    long = "x" * 500
    for error, reason in (("invalid_client", "invalid_client"), (long, "x" * 60)):
        console.issuer.says["/token"] = Said.json({"error": error}, 401)
        with capture_logs() as logs:
            answer = await console.sign_in()
        assert answer.status_code == 503
        assert "does not answer" in problem_in(answer.text)
        [entry] = [each for each in logs if each["event"] == "sign-in refused"]
        assert entry["reason"] == f"token_endpoint refuses this server: {reason}"


async def test_an_issuer_away_is_not_counted_as_wrong_keys(console: Console) -> None:
    console.issuer.says["/token"] = Said(status=500)
    statuses = {(await console.sign_in()).status_code for _ in range(25)}
    assert statuses == {503}
    assert (await console.client.get(BEGIN)).status_code == 303
