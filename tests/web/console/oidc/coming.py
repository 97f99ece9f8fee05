"""Somebody who signs in by the issuer, and others who try."""

from __future__ import annotations

import re

import httpx2

from tests.kit.administered import Administered
from tests.kit.issuer import FakeIssuer

SITE = "http://127.0.0.1:8000"  # of the console, as browsers know it
BEGIN = f"{SITE}/ui/sign-in/oidc"


class Console:
    """A console, and the issuer that signs in to it."""

    def __init__(self, server: Administered, issuer: FakeIssuer) -> None:
        self.server = server
        self.issuer = issuer
        self.client = server.client

    async def begin(self, wanted: str = "") -> str:
        """Where the browser is sent to."""
        answer = await self.client.get(BEGIN, params={"next": wanted} if wanted else None)
        assert answer.status_code == 303, answer.text
        return answer.headers["location"]

    async def sign_in(self, wanted: str = "", **more: str) -> httpx2.Response:
        """What the way there and back ends with."""
        return await self.client.get(self.issuer.authorize(await self.begin(wanted), **more))

    async def page(self, path: str) -> httpx2.Response:
        """A page of the console."""
        return await self.client.get(SITE + path)

    async def is_signed_in(self) -> bool:
        """Whether a page is shown."""
        return (await self.page("/ui/usage")).status_code == 200


def problem_in(page: str) -> str:
    """What a page says went wrong."""
    found = re.search(r'class="problem"[^>]*>([^<]*)<', page)
    assert found is not None, page
    return found[1]
