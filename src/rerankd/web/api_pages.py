"""What there is to read about the API: the OpenAPI document, and the same as a page."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from rerankd import __version__
from rerankd.core.errors import Unauthorized
from rerankd.dialects.registry import Registry
from rerankd.dialects.wire import JSON
from rerankd.web import docs, openapi, static_files
from rerankd.web.caller import caller_of
from rerankd.web.paths import Get
from rerankd.web.state import State
from rerankd.web.wire_answers import Counted


class _Pages(NamedTuple):
    """What there is to read about the API."""

    openapi: bytes
    docs: str  # for docs.addressed


def _make_pages(registry: Registry, own: Sequence[Get], *, needs_key: bool) -> _Pages:
    document = openapi.document(registry, __version__, needs_key=needs_key, own=own)
    return _Pages(msgspec.json.encode(document), docs.page(document))


class ApiPages:
    """The pages of one server."""

    def __init__(self, state: State, registry: Registry, own: Sequence[Get]) -> None:
        self._own = own
        self._state = state
        self._registry = registry
        self._made: dict[bool, _Pages] = {}  # by whether keys are on
        self._making = asyncio.Lock()

    async def openapi(self, request: Request) -> Response:
        """The OpenAPI document of everything that is served."""
        self._may_read(request)
        return Response((await self._pages()).openapi, media_type=JSON)

    async def docs(self, request: Request) -> Response:
        """The same as a page. A browser asks for a password, if a key is needed: the key."""
        try:
            self._may_read(request)
        except Unauthorized:
            return HTMLResponse(
                "<p>An API key is needed: any user name, the key as password.</p>",
                status_code=401,
                headers={"www-authenticate": 'Basic realm="rerankd", charset="UTF-8"'},
            )
        page = (await self._pages()).docs
        page = docs.addressed(page, request.url.scheme, request.headers.get("host"))
        headers = {"content-security-policy": docs.CONTENT_POLICY}
        return Counted(HTMLResponse(page, headers=headers), self._state.inflight)

    async def root(self, request: Request) -> Response:
        """The playground for browsers; others are sent to the docs page."""
        page = static_files.answer(request, "playground.html")
        if page is None or not static_files.wants_html(request):
            page = RedirectResponse("/docs", status_code=307)
        page.headers["vary"] = "accept"
        return page

    async def _pages(self) -> _Pages:
        """Both, made once, in a thread: 40 ms of CPU."""
        needs_key = not self._state.keys.is_open
        async with self._making:
            if needs_key not in self._made:
                made = await asyncio.to_thread(
                    _make_pages, self._registry, self._own, needs_key=needs_key
                )
                self._made[needs_key] = made
        return self._made[needs_key]

    def _may_read(self, request: Request) -> None:
        """Raises Unauthorized."""
        if self._state.docs_need_key:
            caller_of(request, self._state, self._registry, basic=True)
