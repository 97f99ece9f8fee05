"""The issuer over HTTP: its discovery document, its keys, a code for a token, and claims beside it.

Each answer is bounded in bytes and time, none is a redirect, and where to ask next is checked
before it is asked. What is remembered is asked for again after an hour.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from rerankd.core.errors import StartError
from rerankd.dialects.wire import WireAnswer
from rerankd.gateway.failover import AttemptFailed
from rerankd.gateway.peer import Peer, Place, place_of
from rerankd.telemetry.logs import log_refusal
from rerankd.web.console.oidc.begun import Begun
from rerankd.web.console.oidc.claims import BadToken, check_claims
from rerankd.web.console.oidc.roles import Claims, one_line
from rerankd.web.console.oidc.signature import KeySet, UnknownSigner, VerifyKey, keys_of, verified
from rerankd.web.console.sign_in_failed import AWAY, IssuerAway, SignInRefused

_ANSWER_S: Final = 8.0
_FRESH_S: Final = 3_600.0  # that what was found is used without being asked for again
_AGAIN_S: Final = 60.0  # between two looks for a key that is not there
_REST_S: Final = 5.0  # after it could not be asked, before it is asked again
_WELL_KNOWN: Final = "/.well-known/openid-configuration"
_JSON: Final = {"accept": "application/json"}

T = TypeVar("T")


class Discovery(msgspec.Struct, frozen=True):
    """What it says of itself."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None = None
    id_token_signing_alg_values_supported: tuple[str, ...] = ("RS256",)
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    authorization_response_iss_parameter_supported: bool = False


class _Tokens(msgspec.Struct, frozen=True):
    id_token: str
    access_token: str | None = None


class _Error(msgspec.Struct, frozen=True):
    error: str = ""


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """This server, as the issuer knows it."""

    id: str
    secret: str | None  # None = a public client
    back: str  # where browsers come back to
    scope: str


class Issuer:
    """One issuer."""

    def __init__(
        self,
        url: str,
        client: Client,
        peer: Peer,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Nothing is asked yet.

        Args:
            url: exactly as it names itself; was read by place_of().
            client: this server.
            peer: asks it.
            clock: seconds, of any start.
            wall: seconds since 1970.
        """
        self.url = url
        self._client = client
        self._peer = peer
        self._clock = clock
        self._wall = wall
        self._is_local = place_of(url).origin.is_loopback
        self._asking = asyncio.Lock()
        self._asking_keys = asyncio.Lock()
        self._found: Discovery | None = None
        self._found_at = 0.0
        self._keys: list[VerifyKey] = []
        self._keys_at: float | None = None
        self._failed_at: float | None = None

    def close(self) -> None:
        """Ask no more."""
        self._peer.close()

    async def address(self, begun: Begun, *, again: bool = False) -> str:
        """Where a browser is sent to sign in, `again` as somebody else. Raises IssuerAway."""
        found = await self.discovery()
        asked = {
            "response_type": "code",
            "client_id": self._client.id,
            "redirect_uri": self._client.back,
            "scope": self._client.scope,
            "state": begun.state,
            "nonce": begun.nonce,
            "code_challenge": begun.challenge,
            "code_challenge_method": "S256",
            **({"prompt": "login"} if again else {}),
        }
        joint = "&" if "?" in found.authorization_endpoint else "?"
        return f"{found.authorization_endpoint}{joint}{urlencode(asked)}"

    async def claims(self, begun: Begun, code: str) -> tuple[Claims, str | None]:
        """Who came back with a code: claims of the ID token, and an access token for others.

        Raises:
            SignInRefused: the code is not good, or the token that came for it.
            IssuerAway: it cannot be asked.
        """
        found = await self.discovery()
        tokens = await self._exchanged(found, begun, code)
        claims = await self._verified(found, tokens.id_token)
        try:
            check_claims(
                claims,
                issuer=self.url,
                client_id=self._client.id,
                nonce=begun.nonce,
                now=self._wall(),
            )
        except BadToken as error:
            raise SignInRefused(_NOT_GOOD, f"the ID token: {error}") from None
        return claims, tokens.access_token

    async def more_claims(self, claims: Claims, access_token: str | None) -> Claims:
        """With those that it tells beside the token; the token's own win. Raises IssuerAway."""
        found = await self.discovery()
        if found.userinfo_endpoint is None or access_token is None:
            return claims
        headers = {**_JSON, "authorization": f"Bearer {access_token}"}
        place = self._place(found.userinfo_endpoint, "userinfo_endpoint")
        told = _decoded(await self._get(place, headers), dict[str, Any], "userinfo")
        if told.get("sub") != claims["sub"]:
            raise SignInRefused(_NOT_GOOD, "userinfo is of another subject")
        return {**told, **claims}

    async def discovery(self) -> Discovery:
        """What it says of itself. Raises IssuerAway."""
        if (known := self._known()) is not None:
            return known
        async with self._asking:  # one asks for all who wait
            if (known := self._known()) is not None:
                return known
            if self._failed_at is not None and self._clock() - self._failed_at < _REST_S:
                raise IssuerAway(AWAY, "it did not answer just now")
            try:
                self._found = await self._discovered()
            except IssuerAway as error:
                self._failed_at = self._clock()
                log_refusal("the issuer cannot be asked", error.reason, issuer=self.url)
                raise
            self._found_at, self._failed_at = self._clock(), None
            return self._found

    def _known(self) -> Discovery | None:
        """What it said within the hour."""
        return self._found if self._clock() - self._found_at < _FRESH_S else None

    async def _discovered(self) -> Discovery:
        place = place_of(self.url.rstrip("/") + _WELL_KNOWN)
        found = _decoded(await self._get(place, _JSON), Discovery, "its discovery document")
        if found.issuer != self.url:
            said = one_line(found.issuer, 200)
            raise IssuerAway(
                AWAY, f"it calls itself {said!r}: oidc.issuer must be that to the letter"
            )
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint"):
            if (url := getattr(found, name)) is not None:
                self._place(url, name)
        return found

    def _place(self, url: str, name: str) -> Place:
        """Where it says that it is to be asked. Raises IssuerAway."""
        try:
            place = place_of(url)
        except StartError as error:
            raise IssuerAway(AWAY, f"its {name} {error}") from None
        if place.origin.is_loopback and not self._is_local:
            raise IssuerAway(AWAY, f"its {name} is on this machine, where it is not")
        if place.origin.scheme == "http" and not place.origin.is_loopback:
            raise IssuerAway(AWAY, f"its {name} is no https:// URL")
        return place

    async def _verified(self, found: Discovery, token: str) -> dict[str, Any]:
        """Raises SignInRefused, IssuerAway."""
        published = found.id_token_signing_alg_values_supported
        try:
            try:
                return verified(token, await self._published(found), published)
            except UnknownSigner:
                return verified(token, await self._published(found, again=True), published)
        except BadToken as error:
            raise SignInRefused(_NOT_GOOD, f"the ID token: {error}") from None

    async def _published(self, found: Discovery, *, again: bool = False) -> list[VerifyKey]:
        """Its keys; `again`: one was not among them. Raises IssuerAway."""
        async with self._asking_keys:
            age = None if self._keys_at is None else self._clock() - self._keys_at
            if age is None or age >= (_AGAIN_S if again else _FRESH_S):
                place = self._place(found.jwks_uri, "jwks_uri")
                told = _decoded(await self._get(place, _JSON), KeySet, "its keys")
                self._keys, self._keys_at = keys_of(told), self._clock()
            return self._keys

    async def _exchanged(self, found: Discovery, begun: Begun, code: str) -> _Tokens:
        """Raises SignInRefused, IssuerAway."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._client.back,
            "code_verifier": begun.verifier,
        }
        headers = dict(_JSON)
        name, secret = self._client.id, self._client.secret
        if secret is None:
            form["client_id"] = name
        elif "client_secret_basic" in found.token_endpoint_auth_methods_supported:
            headers["authorization"] = _basic(name, secret)
        else:
            form |= {"client_id": name, "client_secret": secret}
        place = self._place(found.token_endpoint, "token_endpoint")
        try:
            answer = await self._peer.post(place, form, headers, timeout_s=_ANSWER_S)
        except AttemptFailed as failed:
            raise IssuerAway(AWAY, f"token_endpoint: {failed.outcome}") from None
        if answer.status in (400, 401):
            error = _decoded_error(answer)
            if error == "invalid_grant":
                raise SignInRefused(_OVER, "the issuer refuses the code: invalid_grant")
            raise IssuerAway(AWAY, f"token_endpoint refuses this server: {error}")
        return _decoded(answer, _Tokens, "its token_endpoint")

    async def _get(self, place: Place, headers: Mapping[str, str]) -> WireAnswer:
        try:
            return await self._peer.get(place, headers, timeout_s=_ANSWER_S)
        except AttemptFailed as failed:
            raise IssuerAway(AWAY, f"{place.origin.authority}: {failed.outcome}") from None


_NOT_GOOD: Final = "What the issuer says of you cannot be believed; the operator's log says why."
_OVER: Final = "The issuer does not take this sign-in any more. Begin again."


def _decoded(answer: WireAnswer, kind: type[T], what: str) -> T:
    """Raises IssuerAway."""
    if answer.status != 200:
        raise IssuerAway(AWAY, f"{what}: status {answer.status}")
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        raise IssuerAway(AWAY, f"{what}: no JSON, or not what it must hold") from None


def _decoded_error(answer: WireAnswer) -> str:
    try:
        return one_line(msgspec.json.decode(answer.body, type=_Error).error, 60) or "no reason"
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return f"status {answer.status}"


def _basic(name: str, secret: str) -> str:
    """Both as a form has them, as OAuth wants it."""
    pair = f"{quote(name, safe='')}:{quote(secret, safe='')}"
    return "Basic " + base64.b64encode(pair.encode()).decode()
