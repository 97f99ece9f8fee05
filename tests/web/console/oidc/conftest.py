"""A server whose console an issuer signs in to."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from tests.kit.administered import administered
from tests.kit.issuer import CLIENT, SECRET, FakeIssuer, issuing
from tests.web.console.oidc.coming import SITE, Console


@pytest.fixture
async def issuer() -> AsyncGenerator[FakeIssuer]:
    async with issuing() as found:
        yield found


@pytest.fixture
async def console(
    issuer: FakeIssuer, store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[Console]:
    monkeypatch.setenv("CLIENT_SECRET", SECRET)
    oidc = {
        "issuer": issuer.url,
        "client_id": CLIENT,
        "secret_env": "CLIENT_SECRET",
        "url": SITE,
        "name": "Example & Co",
        "admin": ["groups=ops"],
        "read": ["groups=finance", "email=ben@example.com"],
    }
    async with administered(store_url, tmp_path, {"oidc": oidc}) as server:
        yield Console(server, issuer)
