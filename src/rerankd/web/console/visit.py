"""Who looks at a page of the console, and what it may ask for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from rerankd.access.keys import Key, Role
from rerankd.core.errors import InvalidRequest
from rerankd.web.admin.answers import AdminAnswer, Stream
from rerankd.web.admin.app import AdminApp, InnerCall
from rerankd.web.admin.own_usage import OwnUsage
from rerankd.web.console.sessions import Session

MOST_FIELDS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One request of somebody who is signed in."""

    request: Request
    key: Key
    session: Session
    admin: AdminApp
    own: OwnUsage
    ids: tuple[str, ...] = ()  # of the page's path

    def may(self, what: Role) -> bool:
        """Whether the key has a role for it."""
        return self.key.may(what)

    @property
    def path(self) -> str:
        """Of the page."""
        return self.request.url.path

    @property
    def request_id(self) -> str:
        """Of the page, as the log has it."""
        return self.request.scope["state"]["request_id"]

    @property
    def address(self) -> str:
        """Of this server as the browser knows it, which was checked; with a slash at its end."""
        return str(self.request.base_url)

    def asked(self, name: str, default: str = "") -> str:
        """A parameter of the page; without one, or an empty one, the default."""
        return self.request.query_params.get(name) or default

    def link(self, **other: str) -> str:
        """This page with other parameters; an empty one is left out."""
        wanted = {**dict(self.request.query_params), **other}
        query = urlencode({name: value for name, value in wanted.items() if value})
        return f"{self.path}?{query}" if query else self.path

    def note(self, text: str) -> None:
        """To be shown once, on the next page."""
        self.session.notes.append(text)

    def taken_notes(self) -> list[str]:
        """What is to be shown once."""
        notes = self.session.notes[:]
        self.session.notes.clear()
        return notes

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Sequence[tuple[str, str]] = (),
    ) -> Any:
        """The JSON that a call of the admin API answers, as its key would get it.

        Raises:
            Exception: whatever it is refused with.
        """
        made = await self._made(method, path, body, query)
        if isinstance(made, Stream):
            raise TypeError(path)
        return told(made)

    async def file(self, path: str, *, query: Sequence[tuple[str, str]] = ()) -> Response:
        """The file that a call of the admin API answers, sent as it is made.

        Raises:
            Exception: whatever it is refused with.
        """
        made = await self._made("GET", path, None, query)
        if isinstance(made, AdminAnswer):
            raise TypeError(path)
        return self.admin.desk.sent(made)

    async def _made(
        self, method: str, path: str, body: Any, query: Sequence[tuple[str, str]]
    ) -> AdminAnswer | Stream:
        raw = b"" if body is None else msgspec.json.encode(body)
        asked = InnerCall(key=self.key, method=method, path=path, query=query, body=raw)
        return await self.admin.ask(self.request.scope, asked)


def told(made: AdminAnswer) -> Any:
    """The content of an answer, with what is told once."""
    return {**made.content, **made.once} if made.once else made.content


def form_of(raw: bytes) -> dict[str, str]:
    """The fields of a form; of several of one name the last. Raises InvalidRequest."""
    try:
        found = parse_qsl(
            raw.decode(),
            keep_blank_values=True,
            strict_parsing=bool(raw),
            max_num_fields=MOST_FIELDS,
        )
    except ValueError:
        raise InvalidRequest("The form cannot be read.") from None
    return dict(found)
