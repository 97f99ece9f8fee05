"""Whether an ID token is for this server, for this sign-in, and now. Pure."""

from __future__ import annotations

import hmac
import math
from typing import Final, cast

from rerankd.web.console.oidc.roles import Claims

_LEEWAY_S: Final = 60  # of the issuer's clock


class BadToken(Exception):
    """An ID token that signs nobody in; the text says why, for the log, and holds nothing of it."""


def check_claims(claims: Claims, *, issuer: str, client_id: str, nonce: str, now: float) -> None:
    """Check what the issuer says beside who it is.

    Args:
        claims: of a token whose signature is the issuer's.
        issuer: as the settings name it.
        client_id: of this server there.
        nonce: of this sign-in.
        now: seconds since 1970.

    Raises:
        BadToken: it is another's, or for another, or not good now.
    """
    if claims.get("iss") != issuer:
        raise BadToken("iss is another issuer")
    _check_audience(claims, client_id)
    expires, issued = _time(claims, "exp"), _time(claims, "iat")
    if now >= expires + _LEEWAY_S:
        raise BadToken("exp has passed")
    if issued > now + _LEEWAY_S:
        raise BadToken("iat is in the future")
    if "nbf" in claims and _time(claims, "nbf") > now + _LEEWAY_S:
        raise BadToken("nbf is in the future")
    said = claims.get("nonce")
    if not isinstance(said, str) or not hmac.compare_digest(said.encode(), nonce.encode()):
        raise BadToken("nonce is of another sign-in")
    if not isinstance(claims.get("sub"), str) or not claims["sub"]:
        raise BadToken("sub is missing")


def _check_audience(claims: Claims, client_id: str) -> None:
    """Raises BadToken."""
    audience: object = claims.get("aud")
    audiences = cast("list[object]", audience) if isinstance(audience, list) else [audience]
    if client_id not in audiences:
        raise BadToken("aud is another client")
    presenter = claims.get("azp")
    if presenter != client_id and (presenter is not None or len(audiences) > 1):
        raise BadToken("azp is another client")


def _time(claims: Claims, name: str) -> float:
    """Raises BadToken."""
    found = claims.get(name)
    if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
        raise BadToken(f"{name} is no time")
    return found
