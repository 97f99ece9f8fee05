"""Sign-in by oidc-provider: three people, each kind of client and signature; run by run.sh."""

from __future__ import annotations

import contextlib
import html
import json
import os
import re
import subprocess
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx2
import pytest
from structlog.testing import capture_logs

from tests.kit.administered import Administered, administered
from tests.kit.processes import PATIENCE_S
from tests.web.console.browsing import text_of
from tests.web.console.oidc.coming import BEGIN, SITE

CLIENT, SECRET = "rerankd", "a secret / of 40 characters & more: yes!"
ANSWERS = 12  # of the provider, until a browser is sent back


@contextlib.contextmanager
def provider(**options: Any) -> Generator[str]:
    """The URL of one on a free port."""
    given: dict[str, Any] = {
        "back": f"{SITE}/ui/sign-in/oidc/back",
        "id": CLIENT,
        "secret": SECRET,
        "method": "client_secret_basic",
        "alg": "RS256",
        "tokenClaims": True,
        **options,
    }
    command = ["node", os.environ["OIDC_PROVIDER"], json.dumps(given)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


@contextlib.asynccontextmanager
async def console(
    url: str, store_url: str, folder: Path, **oidc: Any
) -> AsyncGenerator[Administered]:
    """A server whose console it signs in to."""
    settings = {
        "issuer": url,
        "client_id": CLIENT,
        "secret_env": "CLIENT_SECRET",
        "url": SITE,
        "scopes": ["profile", "email", "groups"],
        "admin": ["groups=ops"],
        "read": ["email=ben@example.com"],
        **oidc,
    }
    async with administered(store_url, folder, {"oidc": settings}) as server:
        yield server


async def through(location: str, person: str) -> str:
    """Where the provider sends a browser in the end, in which somebody signs in and agrees."""
    async with httpx2.AsyncClient(timeout=PATIENCE_S) as browser:
        answer = await browser.get(location)
        for _ in range(ANSWERS):
            if (there := answer.headers.get("location")) is not None:
                there = urljoin(str(answer.url), there)
                if there.startswith(SITE):
                    return there
                answer = await browser.get(there)
                continue
            assert answer.status_code == 200, answer.text
            form = re.search(r'<form[^>]* action="([^"]+)"', answer.text)
            prompt = re.search(r'name="prompt" value="(\w+)"', answer.text)
            assert form is not None
            assert prompt is not None, answer.text
            filled = {"prompt": prompt[1], "login": person, "password": "any"}
            there = urljoin(str(answer.url), html.unescape(form[1]))
            answer = await browser.post(there, data=filled)
    raise AssertionError(answer.text)


async def signed_in(server: Administered, person: str) -> httpx2.Response:
    """What a sign-in of somebody ends with."""
    begun = await server.client.get(BEGIN)
    assert begun.status_code == 303, begun.text
    return await server.client.get(await through(begun.headers["location"], person))


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIENT_SECRET", SECRET)


@pytest.mark.parametrize(
    ("options", "oidc"),
    [
        ({}, {}),
        ({"method": "client_secret_post"}, {}),
        ({"method": "none", "secret": ""}, {"secret_env": None}),
        ({"alg": "PS256"}, {}),
        ({"alg": "ES256"}, {}),
        ({"alg": "EdDSA"}, {}),
        ({"tokenClaims": False}, {}),  # all but the subject at userinfo
    ],
    ids=["basic", "post", "public", "PS256", "ES256", "EdDSA", "userinfo"],
)
async def test_people_get_in_as_their_claims_say(
    options: Any, oidc: Any, store_url: str, tmp_path: Path
) -> None:
    with provider(**options) as url:
        async with console(url, store_url, tmp_path, **oidc) as server:
            answer = await signed_in(server, "anna")
            assert answer.status_code == 200, text_of(answer.text)
            page = await server.client.get(f"{SITE}/ui/keys")
            assert (page.status_code, "oidc:anna" in page.text) == (200, True)
            assert (await signed_in(server, "ben")).status_code == 200
            assert (await server.client.get(f"{SITE}/ui/keys")).status_code == 403
            assert (await server.client.get(f"{SITE}/ui/usage")).status_code == 200


async def test_who_has_no_role_is_told_so_and_a_code_is_good_once(
    store_url: str, tmp_path: Path
) -> None:
    with provider() as url:
        async with console(url, store_url, tmp_path) as server:
            answer = await signed_in(server, "eve")
            assert answer.status_code == 403
            assert "<b>eve</b>" in text_of(answer.text)
            begun = await server.client.get(BEGIN)
            cookie = {"cookie": begun.headers["set-cookie"].partition(";")[0]}
            back = await through(begun.headers["location"], "anna")
            assert (await server.client.get(back)).status_code == 200
            again = await server.client.get(back, headers=cookie)
            assert again.status_code == 400
            # The same code with the cookie and state of another sign-in: the provider says no.
            other = await server.client.get(BEGIN)
            state = parse_qs(urlsplit(other.headers["location"]).query)["state"][0]
            mixed = re.sub(r"state=[^&]+", f"state={state}", back)
            with capture_logs() as logs:
                answer = await server.client.get(mixed)
            assert answer.status_code == 401
            [entry] = [each for each in logs if each["event"] == "sign-in refused"]
            assert "invalid_grant" in entry["reason"]


async def test_who_does_not_agree_is_not_signed_in(store_url: str, tmp_path: Path) -> None:
    with provider() as url:
        async with console(url, store_url, tmp_path) as server:
            begun = await server.client.get(BEGIN)
            async with httpx2.AsyncClient(timeout=PATIENCE_S) as browser:
                page = await browser.get(begun.headers["location"], follow_redirects=True)
                abort = re.search(r'href="([^"]+/abort)"', page.text)
                assert abort is not None
                answer = await browser.get(urljoin(str(page.url), abort[1]))
                while not (there := answer.headers["location"]).startswith(SITE):
                    answer = await browser.get(urljoin(str(answer.url), there))
            answer = await server.client.get(there)
            assert answer.status_code == 401
            assert "access_denied" in answer.text


async def test_a_wrong_secret_is_the_operators_to_mend(store_url: str, tmp_path: Path) -> None:
    with provider(secret="another one, of forty characters or more") as url:
        async with console(url, store_url, tmp_path) as server:
            with capture_logs() as logs:
                answer = await signed_in(server, "anna")
            assert answer.status_code == 503
            [entry] = [each for each in logs if each["event"] == "sign-in refused"]
            assert "invalid_client" in entry["reason"]
