"""An app with a store, and callers of its admin API in every role."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any, Literal

import httpx2

from rerankd.access.fields import KeyFields
from rerankd.models.load import Loaded, Spec
from rerankd.store.accounts import AccountStore
from rerankd.store.key_feed import KeyFeed
from rerankd.store.keys import KeyRepo
from rerankd.web.state import State
from tests.kit.support import Json, running

Caller = Literal["admin", "read", "call", "explain", "file", "nobody"]
FILE_KEY = "sk-of-the-settings-file"


class Administered:
    """A running app and who calls it."""

    def __init__(self, client: httpx2.AsyncClient, state: State, store: AccountStore) -> None:
        self.client = client
        self.state = state
        self.store = store
        self.keys = KeyRepo(store.database)
        self.texts: dict[str, str] = {"file": FILE_KEY}
        self._feed = KeyFeed(self.keys, state.use_stored)
        for role in ("admin", "read", "call", "explain"):
            _, text = self.keys.create(KeyFields(name=role, role=role))
            self.texts[role] = text
        self.see()

    def see(self) -> None:
        """What changed in the store is in force from here on."""
        for apply in self._feed.read(0):
            apply()

    def headers(self, caller: str) -> dict[str, str]:
        """The key of a caller; of nobody none."""
        text = self.texts.get(caller, caller)
        return {} if caller == "nobody" else {"authorization": f"Bearer {text}"}

    async def call(
        self, method: str, path: str, body: Any = None, *, by: str = "admin", **headers: str
    ) -> httpx2.Response:
        """One call of the admin API; `headers` with _ for -."""
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = await self.client.request(
            method, f"/admin/v1{path}", json=body, headers=self.headers(by) | more
        )
        self.see()
        return answer

    async def good(self, method: str, path: str, body: Any = None, **headers: str) -> Json:
        """The JSON of a call that is carried out."""
        answer = await self.call(method, path, body, **headers)
        assert answer.status_code in (200, 201), answer.text
        return answer.json()


@contextlib.asynccontextmanager
async def administered(
    store_url: str,
    folder: Path,
    values: Json | None = None,
    *,
    load: Callable[[Spec], Loaded] | None = None,
    aliases: Json | None = None,
) -> AsyncGenerator[Administered]:
    """An app with one fake model and an empty store but for a key of each role."""
    base: Json = {
        "store": {"url": store_url, "journal": str(folder / "journal")},
        "admin": {"hosts": ["test"]},
        "keys": [{"name": "file", "key": FILE_KEY}],
    }
    async with running(base | (values or {}), load=load, aliases=aliases) as (client, state):
        assert state.accounts is not None
        yield Administered(client, state, state.accounts)
