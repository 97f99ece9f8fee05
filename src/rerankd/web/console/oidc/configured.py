"""From the section [oidc] to a sign-in that can be begun."""

from __future__ import annotations

from collections.abc import Mapping

from rerankd import __version__
from rerankd.core.errors import StartError
from rerankd.gateway.address import Guard, Origin, origin_of
from rerankd.gateway.peer import Peer, place_of
from rerankd.settings.schema_accounts import OidcSettings
from rerankd.web.console.oidc.issuer import Client, Issuer
from rerankd.web.console.oidc.roles import RoleRule, Roles, rules_of, wanted_scopes
from rerankd.web.console.oidc.sign_in import OidcSignIn
from rerankd.web.console.sign_in_paths import OIDC_BACK


def sign_in_of(
    issuer: str, settings: OidcSettings, env: Mapping[str, str], *, needs_secret: bool = True
) -> OidcSignIn:
    """The sign-in that the settings ask for.

    Args:
        issuer: oidc.issuer, which is set.
        settings: the others.
        env: the process environment, with the secret.
        needs_secret: whether one that is not there is refused.

    Raises:
        StartError: it cannot be used as asked; names the setting.
    """
    at = _issuer_at(issuer, settings)
    url = _own_url(settings.url)
    if not settings.client_id:
        raise StartError("oidc.client_id: is needed: the name that the issuer has for this server.")
    roles = Roles(admin=_rules("admin", settings.admin), read=_rules("read", settings.read))
    if not (roles.admin or roles.read):
        raise StartError(
            "oidc.admin: nobody could sign in. Say who may, here or in oidc.read: "
            'admin = ["groups=ops"].'
        )
    client = Client(
        id=settings.client_id,
        secret=_secret(settings.secret_env, env, needs_secret=needs_secret),
        back=url + OIDC_BACK,
        scope=wanted_scopes(settings.scopes),
    )
    peer = Peer(settings.allow, user_agent=f"rerankd/{__version__}")
    name = settings.name or at.host
    return OidcSignIn(Issuer(issuer, client, peer), roles, url=url, name=name)


def _issuer_at(issuer: str, settings: OidcSettings) -> Origin:
    """Raises StartError."""
    try:
        origin_of(issuer)  # no query
        origin = place_of(issuer).origin
        Guard(origin, settings.allow)
    except StartError as error:
        raise StartError(f"oidc.issuer: {error}") from None
    _check_https(origin, "oidc.issuer")
    return origin


def _own_url(written: str | None) -> str:
    """Raises StartError."""
    if written is None:
        raise StartError(
            "oidc.url: is needed: this server as browsers reach it, https://rerank.example.com."
        )
    try:
        origin = origin_of(written)
    except StartError as error:
        raise StartError(f"oidc.url: {error}") from None
    if origin.base:
        raise StartError("oidc.url: has a path; the console is at /ui of this server itself.")
    _check_https(origin, "oidc.url")
    return f"{origin.scheme}://{origin.authority}"


def _check_https(origin: Origin, name: str) -> None:
    if origin.scheme == "http" and not origin.is_loopback:
        raise StartError(f"{name}: http:// to another machine can be read on the way.")


def _rules(name: str, written: tuple[str, ...]) -> tuple[RoleRule, ...]:
    try:
        return rules_of(written)
    except ValueError as error:
        raise StartError(f"oidc.{name}: {str(error)!r} is not CLAIM=VALUE.") from None


def _secret(name: str | None, env: Mapping[str, str], *, needs_secret: bool) -> str | None:
    """Raises StartError."""
    if name is None:
        return None
    if not (found := env.get(name, "").strip()) and needs_secret:
        raise StartError(f"oidc.secret_env: the variable {name} is not set, or is empty.")
    return found
