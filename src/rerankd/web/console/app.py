"""The console as an ASGI app below /ui: sign-in, then pages made of the admin API's answers.

Nobody who is not signed in sees more than the form for that. Pages change something by forms only,
which carry their session's token; Host and Origin are checked as for the admin API.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from rerankd.access.keys import Key
from rerankd.core.errors import (
    BodyTooLarge,
    Forbidden,
    MethodNotAllowed,
    Overloaded,
    RerankError,
    Unauthorized,
    UnknownPath,
)
from rerankd.telemetry.logs import log_failure
from rerankd.web.admin.answers import problem
from rerankd.web.admin.app import AdminApp
from rerankd.web.admin.gate import AdminGate
from rerankd.web.admin.own_usage import OwnUsage
from rerankd.web.below import pattern_of
from rerankd.web.body import ClientGone, check_headers, read_body
from rerankd.web.client import address_of
from rerankd.web.console import render
from rerankd.web.console.sessions import COOKIE, Session, Sessions
from rerankd.web.console.sign_in_paths import OIDC, OIDC_BACK, PREFIX, SIGN_IN, local
from rerankd.web.console.signing_in import Door
from rerankd.web.console.visit import Visit, form_of
from rerankd.web.state import State

FORM_BYTES: Final = 262_144
_SIGN_OUT: Final = PREFIX + "/sign-out"

Form = Mapping[str, str]
Show = Callable[[Visit], Awaitable[Response]]
Do = Callable[[Visit, Form], Awaitable[Response]]
_Paths = list[tuple[re.Pattern[str], Any]]


class ConsoleApp:
    """Answers what is below /ui."""

    def __init__(
        self,
        state: State,
        admin: AdminApp,
        *,
        pages: Mapping[str, Show],
        forms: Mapping[str, Do],
        sessions: Sessions | None = None,
    ) -> None:
        """Of one server.

        Args:
            state: of the server.
            admin: what pages are made of.
            pages: by path, below /ui; {id} stands for a part of it.
            forms: what is done at a path that a form is sent to.
            sessions: who is signed in; None = nobody yet.
        """
        self._state, self._admin = state, admin
        self._pages, self._forms = _patterns(pages), _patterns(forms)
        self._own = OwnUsage(admin.desk)
        self.sessions = sessions or Sessions()
        self._door = Door(state, self.sessions)
        self._gate = AdminGate(state, state.admin_hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        try:
            with self._state.drain:
                try:
                    response = await self._answer(request)
                except ClientGone:
                    return
                except Exception as error:  # noqa: BLE001 - the last line before the caller
                    response = self._failed(request, error)
                await response(scope, receive, send)
        except Overloaded as error:  # the drain's refusal
            await self._failed(request, error)(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        self._gate.check(request.scope)
        path = request.scope["path"].rstrip("/")
        if request.method not in ("GET", "HEAD", "POST"):
            raise MethodNotAllowed("Pages are read by GET and change by POST.", allow="GET, POST")
        if path in (SIGN_IN, OIDC, OIDC_BACK):
            return await self._sign_in(request, path)
        visit = self._view(request)
        if visit is None:
            return self._to_sign_in(request)
        if request.method == "POST":
            return await self._post(visit, path)
        show, ids = _found(self._pages, path.removeprefix(PREFIX) or "/")
        if show is None:
            raise UnknownPath("There is no such page.")
        return await show(replace(visit, ids=ids))

    async def _post(self, visit: Visit, path: str) -> Response:
        form = await self._form(visit.request)
        if not visit.session.is_form_of(form.pop("csrf", "")):
            raise Forbidden("This form is not of your session: load the page again.", reason="csrf")
        if path == _SIGN_OUT:
            self.sessions.end(visit.request.cookies.get(COOKIE, ""))
            response = RedirectResponse(SIGN_IN, 303, render.HEADERS)
            response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
            return response
        do, ids = _found(self._forms, path.removeprefix(PREFIX))
        if do is None:
            raise UnknownPath("Nothing is done there.")
        return await do(replace(visit, ids=ids), form)

    async def _sign_in(self, request: Request, path: str) -> Response:
        """The ways in, which nobody needs to be signed in for."""
        oidc = self._state.oidc
        if path != SIGN_IN:
            if oidc is None or request.method == "POST":
                raise UnknownPath("Nobody signs in there.")
            ends = {OIDC: self._door.to_issuer, OIDC_BACK: self._door.from_issuer}
            return await ends[path](oidc, request)
        if request.method != "POST":
            return self._door.form(request, local(request.query_params.get("next")))
        form = await self._form(request)
        return self._door.by_key(request, form.get("key", ""), local(form.get("next")))

    def _view(self, request: Request) -> Visit | None:
        """Who is signed in; None = nobody, or his key is good no more."""
        token = request.cookies.get(COOKIE, "")
        session: Session | None = self.sessions.find(token)
        if session is None:
            return None
        key = session.who
        if not isinstance(key, Key):
            address = address_of(request.scope, self._state.trusted)
            try:
                key = self._state.keys.by_digest(key, address)
            except (Unauthorized, Forbidden):
                self.sessions.end(token)
                return None
        return Visit(request=request, key=key, session=session, admin=self._admin, own=self._own)

    def _to_sign_in(self, request: Request) -> Response:
        wanted = request.url.path
        if request.url.query:
            wanted += f"?{request.url.query}"
        where = SIGN_IN if request.method == "POST" else f"{SIGN_IN}?next={quote(wanted)}"
        return RedirectResponse(where, 303, render.HEADERS)

    async def _form(self, request: Request) -> dict[str, str]:
        """Raises InvalidRequest, BodyTooLarge, BodyTimeout, Overloaded."""
        limits = self._state.limits
        limit = min(FORM_BYTES, limits.body_bytes)
        try:
            check_headers(request.headers, limit_bytes=limit, any_type=True)
            raw = await read_body(
                request.receive,
                request.headers,
                limit_bytes=limit,
                limit_s=limits.body_s,
                inflight=self._state.inflight,
            )
        except BodyTooLarge:
            raise BodyTooLarge(f"The form is over {limit} bytes.") from None
        self._state.inflight.give_back(len(raw))
        return form_of(raw)

    def _failed(self, request: Request, error: Exception) -> Response:
        """A page that says why, and what to do."""
        request_id = request.scope["state"]["request_id"]
        status, told, headers = problem(error, request_id)
        if told.type == "internal_error":
            log_failure(request_id, error)
        if isinstance(error, RerankError) and status < 500 and not told.message:
            told.message = str(error)
        visit = None
        if not isinstance(error, Forbidden) or error.reason != "host":
            visit = self._view(request)
        response = render.page("problem", visit, status, problem=told)
        response.headers.update(headers)
        return response


def _patterns(by_path: Mapping[str, Any]) -> _Paths:
    """Those without a part to be filled in first."""
    ordered = sorted(by_path.items(), key=lambda each: "{" in each[0])
    return [(pattern_of(path), what) for path, what in ordered]


def _found(paths: _Paths, path: str) -> tuple[Any, tuple[str, ...]]:
    """What is at a path, and the parts that were filled in; None = nothing is."""
    for pattern, what in paths:
        if match := pattern.fullmatch(path):
            return what, match.groups()
    return None, ()
