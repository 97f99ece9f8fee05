"""Sign-ins under way, claims that make a role or a name, settings that can be used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerankd.access.fields import KeyFields
from rerankd.access.wrong_keys import WrongKeys
from rerankd.cli.config import _check  # pyright: ignore[reportPrivateUsage]
from rerankd.core.errors import RateLimited, StartError
from rerankd.settings.schema import Settings
from rerankd.settings.schema_accounts import OidcSettings
from rerankd.web.assemble import make_state
from rerankd.web.console.oidc import begun
from rerankd.web.console.oidc.begun import SignIns
from rerankd.web.console.oidc.configured import sign_in_of
from rerankd.web.console.oidc.roles import Roles, key_of, name_of, one_line, rules_of
from rerankd.web.console.sign_in_paths import OIDC_SECONDS, local

ISSUER = "https://login.example.com/realms/main"
GOOD: dict[str, Any] = {
    "client_id": "rerankd",
    "url": "https://rerank.example.com",
    "admin": ("groups=ops",),
}


def test_a_sign_in_is_over_after_ten_minutes() -> None:
    now = [1_000.0]
    found = SignIns(OIDC_SECONDS, clock=lambda: now[0])
    first, second = found.begin("/ui/a", "/ui"), found.begin("/ui/b", "/ui")
    now[0] += OIDC_SECONDS - 1
    finished = found.finish(first.cookie, first.state)
    assert finished == first
    now[0] += 1
    assert found.finish(second.cookie, second.state) is None


def test_a_sign_in_of_another_process_is_none() -> None:
    theirs = SignIns(600).begin("/ui", "/ui")
    assert SignIns(600).finish(theirs.cookie, theirs.state) is None


def test_nothing_of_a_sign_in_is_another_part_of_it() -> None:
    one = SignIns(600).begin("/ui", "/ui")
    assert len({one.state, one.nonce, one.verifier, one.challenge}) == 4
    assert not any(part in one.cookie for part in (one.state, one.nonce, one.verifier))
    assert 43 <= len(one.verifier) <= 128  # as PKCE wants it


def test_what_is_remembered_of_sign_ins_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(begun, "_USED", 10)
    now = [0.0]
    found = SignIns(600, clock=lambda: now[0])
    for _ in range(50):
        one = found.begin("/ui", "/ui")
        assert found.finish(one.cookie, one.state) is not None
        assert found.finish(one.cookie, one.state) is None
    assert len(found._used) == 10  # pyright: ignore[reportPrivateUsage]
    now[0] = 601.0
    one = found.begin("/ui", "/ui")
    found.finish(one.cookie, one.state)
    assert len(found._used) == 1  # pyright: ignore[reportPrivateUsage]


@given(wanted=st.text(max_size=1_200))
def test_any_page_that_is_wanted_comes_back(wanted: str) -> None:
    found = SignIns(600)
    try:
        wanted.encode()
    except UnicodeEncodeError:
        return
    one = found.begin(wanted, "/ui")
    finished = found.finish(one.cookie, one.state)
    assert finished is not None
    assert finished.wanted == (wanted if len(wanted) <= 1_000 else "/ui")
    assert one.cookie.isascii()
    assert set(one.cookie) <= set(
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."
    )


@given(cookie=st.text(max_size=100), state=st.text(max_size=60))
def test_no_made_up_pair_is_a_sign_in(cookie: str, state: str) -> None:
    try:
        (cookie + state).encode()
    except UnicodeEncodeError:
        return
    assert SignIns(600).finish(cookie, state) is None


@pytest.mark.parametrize(
    ("claims", "role"),
    [
        ({"groups": ["ops"]}, "admin"),
        ({"groups": "ops"}, "admin"),
        ({"groups": ["finance", "ops"]}, "admin"),
        ({"groups": ["finance"]}, "read"),
        ({"groups": ["OPS"]}, None),
        ({"groups": []}, None),
        ({"realm_access": {"roles": ["boss"]}}, "admin"),
        ({"realm_access": ["boss"]}, None),
        ({"realm_access.roles": "boss"}, "admin"),
        ({"realm_access.roles": "nobody", "realm_access": {"roles": "boss"}}, None),
        ({"https://x.test/roles": ["boss"]}, "admin"),
        ({"email": "a@x.test", "email_verified": True}, "read"),
        ({"email": "a@x.test", "email_verified": "true"}, "read"),
        ({"email": "a@x.test", "email_verified": 1}, None),
        ({"email": "a@x.test", "email_verified": "yes"}, None),
        ({"email": ["a@x.test"]}, None),
        ({"eq": "a=b"}, "read"),
        ({}, None),
    ],
    ids=str,
)
def test_claims_make_a_role(claims: Any, role: str | None) -> None:
    roles = Roles(
        admin=rules_of(["groups=ops", "realm_access.roles=boss", "https://x.test/roles=boss"]),
        read=rules_of(["groups=finance", "email=a@x.test", "eq=a=b"]),
    )
    assert roles.of(claims) == role


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"preferred_username": "anna", "email": "a@x.test", "sub": "1"}, "anna"),
        ({"email": "a@x.test", "email_verified": True, "sub": "1"}, "a@x.test"),
        ({"email": "a@x.test", "sub": "1"}, "1"),
        ({"preferred_username": "", "sub": "1"}, "1"),
        ({"preferred_username": ["anna"], "sub": "1"}, "1"),
        ({"preferred_username": "\u202eanna\x00\n", "sub": "1"}, "anna"),
        ({"preferred_username": "\u200b\u200b", "sub": "\x1b[31m"}, "[31m"),
        ({"preferred_username": "\n", "sub": "\n"}, "?"),
    ],
    ids=str,
)
def test_claims_make_a_name(claims: Any, name: str) -> None:
    assert name_of(claims) == name


def test_a_name_is_no_longer_than_that_of_a_key() -> None:
    key = key_of({"sub": "x" * 10_000}, "read")
    assert len(key.name) == 100
    KeyFields(name=key.name).check()
    assert one_line("\n" * 1000 + "x", 5) == ""  # what is read of it has a bound, too


def test_settings_that_can_be_used() -> None:
    found = sign_in_of(ISSUER, OidcSettings(**GOOD), {})
    assert (found.name, found.host, found.is_https) == (
        "login.example.com",
        "rerank.example.com",
        True,
    )
    found.close()


@pytest.mark.parametrize(
    ("issuer", "more", "said"),
    [
        ("http://login.example.com", {}, "oidc.issuer: http://"),
        ("login.example.com", {}, "oidc.issuer: is no http:// or https:// URL"),
        ("https://login.example.com?x=1", {}, "oidc.issuer: has a query"),
        ("https://login.example.com#x", {}, "oidc.issuer: has a query"),
        ("https://login .example.com", {}, "oidc.issuer: "),
        (ISSUER, {"url": None}, "oidc.url: is needed"),
        (ISSUER, {"url": "http://rerank.example.com"}, "oidc.url: http://"),
        (ISSUER, {"url": "https://rerank.example.com/ui"}, "oidc.url: has a path"),
        (ISSUER, {"url": "rerank"}, "oidc.url: is no http"),
        (ISSUER, {"client_id": ""}, "oidc.client_id: is needed"),
        (ISSUER, {"admin": ()}, "oidc.admin: nobody could sign in"),
        (ISSUER, {"admin": ("ops",)}, "oidc.admin: 'ops' is not CLAIM=VALUE"),
        (ISSUER, {"read": ("=ops",)}, "oidc.read: '=ops' is not CLAIM=VALUE"),
        (ISSUER, {"read": ("groups=",)}, "oidc.read: 'groups=' is not CLAIM=VALUE"),
        (ISSUER, {"secret_env": "NONE"}, "oidc.secret_env: the variable NONE is not set"),
        (ISSUER, {"secret_env": "EMPTY"}, "oidc.secret_env: the variable EMPTY is not set"),
        (ISSUER, {"allow": ("10.0.0.0/8x",)}, "oidc.issuer: '10.0.0.0/8x' is no host"),
    ],
    ids=str,
)
def test_settings_that_cannot(issuer: str, more: Any, said: str) -> None:
    with pytest.raises(StartError) as refused:
        sign_in_of(issuer, OidcSettings(**GOOD | more), {"EMPTY": " "})
    assert str(refused.value).startswith(said)


def test_a_server_without_a_store_has_nothing_to_sign_in_to() -> None:
    oidc = msgspec.structs.replace(OidcSettings(**GOOD), issuer=ISSUER)
    with pytest.raises(StartError, match="needs \\[store\\] url"):
        make_state(Settings(oidc=oidc))


def test_a_file_is_checked_with_its_issuer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "rerankd.toml"
    text = (
        f'models = ["rerankd-lexical"]\n[store]\nurl = "sqlite:///{tmp_path}/s.db"\n'
        f'[oidc]\nissuer = "{ISSUER}"\nclient_id = "x"\nsecret_env = "NOT_HERE"\n'
        'url = "https://rerank.example.com"\nadmin = ["groups=ops"]\n'
    )
    file.write_text(text)
    monkeypatch.delenv("NOT_HERE", raising=False)
    with pytest.raises(StartError, match=r"oidc\.secret_env: the variable NOT_HERE"):
        _check(file, needs_keys=True)
    _check(file, needs_keys=False)
    assert ": good; 1 models" in capsys.readouterr().out
    file.write_text(text.replace("https://rerank", "http://rerank"))
    with pytest.raises(StartError, match=r"oidc\.url: http://"):
        _check(file, needs_keys=False)


def test_without_the_extra_the_command_is_named() -> None:
    code = (
        "import sys; sys.modules['joserfc'] = None\n"
        "from rerankd.core.errors import StartError\n"
        "try:\n    import rerankd.web.console.oidc.configured\n"
        "except StartError as error:\n    print(error)\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'rerankd[oidc]'" in said.stdout


def test_a_server_without_an_issuer_loads_no_library_of_it() -> None:
    code = (
        "import sys, rerankd.cli, rerankd.web.app, rerankd.web.console.mount\n"
        "print('joserfc' in sys.modules, 'cryptography' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["False", "False"]


def test_a_look_at_wrong_keys_counts_none() -> None:
    found = WrongKeys(2, clock=lambda: 0.0)
    for _ in range(10):
        found.check("n")
    assert len(found) == 0
    found.note("n")
    found.note("n")
    with pytest.raises(RateLimited):
        found.check("n")


@given(wanted=st.text(max_size=50))
def test_a_page_of_the_console_or_its_first(wanted: str) -> None:
    assert local(wanted).startswith("/ui")
    assert local("/ui" + wanted)[:4] in ("/ui", "/ui/", "/ui?")
