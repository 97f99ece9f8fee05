"""The two ends of a sign-in by the issuer: to it, and back with a code."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from rerankd.access.keys import Key
from rerankd.core.errors import Overloaded
from rerankd.web.console.oidc.begun import Begun, SignIns
from rerankd.web.console.oidc.issuer import Issuer
from rerankd.web.console.oidc.roles import Roles, key_of, name_of, one_line
from rerankd.web.console.sign_in_failed import AWAY, IssuerAway, NoRole, NotBegun, SignInRefused
from rerankd.web.console.sign_in_paths import OIDC_SECONDS

_AT_ONCE: Final = 8  # codes that the issuer is asked about
_CODE_CHARACTERS: Final = 4_096
_ALL_S: Final = 25.0  # all that is asked for one code
_ERROR: Final = re.compile(r"[a-z_]{1,60}")


class OidcSignIn:
    """Sign-in by one issuer."""

    def __init__(self, issuer: Issuer, roles: Roles, *, url: str, name: str) -> None:
        """Nobody signs in yet.

        Args:
            issuer: who is asked.
            roles: who gets in.
            url: of this server, as browsers reach it; without a slash at its end.
            name: of the issuer, on the button.
        """
        self.url = url
        self.name = name
        self.is_https = url.startswith("https:")
        self._issuer = issuer
        self._roles = roles
        self._begun = SignIns(OIDC_SECONDS)
        self._asking = 0

    @property
    def host(self) -> str:
        """The name of this server that browsers come by."""
        return urlsplit(self.url).hostname or ""

    def close(self) -> None:
        """Ask no more."""
        self._issuer.close()

    async def begin(self, wanted: str, fallback: str, *, again: bool) -> tuple[Begun, str]:
        """A sign-in for this browser, and the issuer's page for it.

        Args:
            wanted: the page that it leads to.
            fallback: that page where the wanted one has too long a name.
            again: whether the issuer is to ask who it is, though it knows somebody.

        Raises:
            IssuerAway: it cannot be asked where its page is.
        """
        begun = self._begun.begin(wanted, fallback)
        return begun, await self._issuer.address(begun, again=again)

    def finished(self, cookie: str, asked: Mapping[str, str]) -> Begun:
        """The sign-in of a browser that came back, once. Raises NotBegun."""
        begun = self._begun.finish(cookie, asked.get("state", ""))
        if begun is None:
            raise NotBegun(_NOT_BEGUN, "not begun in this browser, over, or finished before")
        return begun

    async def come_back(self, begun: Begun, asked: Mapping[str, str]) -> Key:
        """Who it is that the issuer sent back.

        Args:
            begun: his sign-in.
            asked: what the issuer gave the browser to take here.

        Raises:
            SignInFailed: nobody, or nobody who may in.
            Overloaded: too many sign in now.
        """
        found = await self._issuer.discovery()
        said = asked.get("iss")
        needs_said = found.authorization_response_iss_parameter_supported
        if said != self._issuer.url and (needs_said or said is not None):
            raise SignInRefused(_OTHER, "iss of the answer is another issuer")
        if (error := asked.get("error")) is not None:
            named = error if _ERROR.fullmatch(error) else "no reason"
            raise SignInRefused(
                f"The issuer did not sign you in: {named}.", f"the issuer says {named}"
            )
        code = asked.get("code", "")
        if not 0 < len(code) <= _CODE_CHARACTERS:
            raise SignInRefused(_OTHER, "there is no code")
        if self._asking >= _AT_ONCE:
            raise Overloaded("Too many sign in now.", retry_after_s=2.0)
        self._asking += 1
        try:
            async with asyncio.timeout(_ALL_S):
                return await self._who(begun, code)
        except TimeoutError:
            raise IssuerAway(AWAY, f"all that was asked took over {_ALL_S:g} s") from None
        finally:
            self._asking -= 1

    async def _who(self, begun: Begun, code: str) -> Key:
        claims, access_token = await self._issuer.claims(begun, code)
        role = self._roles.of(claims)
        if role != "admin" and self._roles.missing(claims):
            claims = await self._issuer.more_claims(claims, access_token)
            role = self._roles.of(claims)
        if role is None:
            name = name_of(claims)
            raise NoRole(
                f"This console is not for {name}. Who operates it can give you a role.",
                f"{name} (sub {one_line(claims['sub'], 100)}) has no role here",
            )
        return key_of(claims, role)


_NOT_BEGUN: Final = "This sign-in was not begun in this browser, or is over. Begin again."
_OTHER: Final = "This answer is not the issuer's. Begin again."
