"""The way into the console: by a key, or by way of an issuer, which sends browsers back here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from rerankd.access.keys import ANYONE, Key
from rerankd.core.errors import Forbidden, RateLimited, Unauthorized
from rerankd.telemetry.logs import log_event, log_refusal
from rerankd.web.caller import admitted
from rerankd.web.client import network_of
from rerankd.web.console import render
from rerankd.web.console.sessions import COOKIE, SECONDS, Sessions
from rerankd.web.console.sign_in_failed import SignInFailed
from rerankd.web.console.sign_in_paths import OIDC, OIDC_COOKIE, OIDC_SECONDS, PREFIX, local
from rerankd.web.state import State

if TYPE_CHECKING:  # its library is an extra
    from rerankd.web.console.oidc.sign_in import OidcSignIn


class Door:
    """Lets people in."""

    def __init__(self, state: State, sessions: Sessions) -> None:
        self._state = state
        self._sessions = sessions

    def form(
        self,
        request: Request,
        wanted: str,
        status: int = 200,
        *,
        problem: str | None = None,
        failed: SignInFailed | None = None,
    ) -> Response:
        """The page.

        Args:
            request: that it answers.
            wanted: the page that a sign-in leads to.
            status: of the answer.
            problem: with the key that was tried.
            failed: the sign-in by the issuer that was tried.
        """
        oidc, other = self._state.oidc, None
        if oidc is not None:
            again = failed is not None and failed.is_final
            other = {
                "name": oidc.name,
                "href": _href(oidc, request, wanted, again=again),
                "again": again,
                "problem": None if failed is None else failed.told,
            }
        return render.page("sign_in", None, status, next=wanted, other=other, problem=problem)

    def by_key(self, request: Request, text: str, wanted: str) -> Response:
        """What comes of a key."""
        try:
            key = self._admitted(request, text)
        except (Unauthorized, Forbidden, RateLimited) as error:
            said = error.message if not isinstance(error, Unauthorized) else _UNKNOWN
            return self.form(request, wanted, error.status, problem=said)
        response = RedirectResponse(wanted, 303, render.HEADERS)
        self._begin(response, key.digest, is_https=request.url.scheme == "https")
        return response

    async def to_issuer(self, oidc: OidcSignIn, request: Request) -> Response:
        """The way to the issuer, and what its way back is bound to this browser by."""
        wanted = local(request.query_params.get("next"))
        try:
            again = request.query_params.get("again") == "1"
            begun, where = await oidc.begin(wanted, PREFIX, again=again)
        except SignInFailed as failed:
            return self.form(request, wanted, failed.status, failed=failed)
        response = RedirectResponse(where, 303, render.HEADERS)
        response.set_cookie(
            OIDC_COOKIE,
            begun.cookie,
            max_age=OIDC_SECONDS,
            path=OIDC,
            httponly=True,
            samesite="lax",  # the way back is from another site
            secure=oidc.is_https,
        )
        return response

    async def from_issuer(self, oidc: OidcSignIn, request: Request) -> Response:
        """Whom the issuer sent back: signed in, or told why not. Raises Overloaded, RateLimited."""
        wanted = PREFIX
        try:
            begun = oidc.finished(request.cookies.get(OIDC_COOKIE, ""), request.query_params)
            wanted = begun.wanted
            network = network_of(request.scope, self._state.trusted)
            self._state.wrong_keys.check(network)
            key = await oidc.come_back(begun, request.query_params)
        except SignInFailed as failed:
            response = self._refused(request, wanted, failed)
        else:
            response = self._signed_in(request, oidc, key, wanted)
        response.delete_cookie(OIDC_COOKIE, path=OIDC, httponly=True, samesite="lax")
        return response

    def _signed_in(self, request: Request, oidc: OidcSignIn, key: Key, wanted: str) -> Response:
        """A page that leads on.

        Were it a redirect, the issuer's page would have led to the next one, and a browser sends
        the cookie of a session only to what no other site led to.
        """
        response = render.page("signed_in", None, wanted=wanted)
        self._begin(response, key, is_https=oidc.is_https)
        log_event(
            "signed in",
            name=key.name,
            role=key.role,
            subject=key.subject,
            request_id=request.scope["state"]["request_id"],
            client=network_of(request.scope, self._state.trusted),
        )
        return response

    def _refused(self, request: Request, wanted: str, failed: SignInFailed) -> Response:
        """Raises RateLimited: too many from there."""
        network = network_of(request.scope, self._state.trusted)
        if failed.counts:
            self._state.wrong_keys.note(network)
        if failed.is_told:
            log_refusal(
                "sign-in refused",
                failed.reason,
                request_id=request.scope["state"]["request_id"],
                client=network,
            )
        return self.form(request, wanted, failed.status, failed=failed)

    def _begin(self, response: Response, who: bytes | Key, *, is_https: bool) -> None:
        response.set_cookie(
            COOKIE,
            self._sessions.begin(who),
            max_age=SECONDS,
            path="/",
            httponly=True,
            samesite="strict",
            secure=is_https,
        )

    def _admitted(self, request: Request, text: str) -> Key:
        """Raises Unauthorized, Forbidden, RateLimited."""
        key = admitted(self._state, text.strip().encode(), request.scope)
        if key is ANYONE:
            raise Unauthorized("Invalid token")
        return key


def _href(oidc: OidcSignIn, request: Request, wanted: str, *, again: bool) -> str:
    """The way to the issuer, under the name that it leads back to: a cookie is of one name."""
    path = f"{OIDC}?{urlencode({'next': wanted, **({'again': 1} if again else {})})}"
    is_there = request.headers.get("host") == urlsplit(oidc.url).netloc
    return path if is_there else oidc.url + path


_UNKNOWN: Final = "This is no key of this server, or it is good no more."
