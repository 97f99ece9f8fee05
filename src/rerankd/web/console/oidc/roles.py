"""What an issuer's claims make of somebody: a role here, and a name for pages and the log. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

from rerankd.access.keys import Key

Claims = Mapping[str, Any]
NAMES: Final = ("preferred_username", "email", "sub")  # the first that is there
PREFIX: Final = "oidc:"
_SUBJECT_CHARACTERS: Final = 255  # as many as OpenID Connect allows
_NAME_CHARACTERS: Final = 95  # with the prefix as many as a key's name may have


@dataclass(frozen=True, slots=True)
class RoleRule:
    """A claim, and the value that it has or has among others."""

    claim: str
    value: str

    def fits(self, claims: Claims) -> bool:
        """Whether somebody has it; an address counts only where the issuer has verified it."""
        found = claim_of(claims, self.claim)
        if self.claim == "email" and not _is_verified(claims):
            return False
        return found == self.value or (
            isinstance(found, list) and self.value in cast("list[object]", found)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """Who gets in, and as what: administrators are looked for first."""

    admin: tuple[RoleRule, ...]
    read: tuple[RoleRule, ...]

    def of(self, claims: Claims) -> Literal["admin", "read"] | None:
        """The role of somebody; None = he has none here."""
        if any(rule.fits(claims) for rule in self.admin):
            return "admin"
        return "read" if any(rule.fits(claims) for rule in self.read) else None

    def missing(self, claims: Claims) -> bool:
        """Whether a claim that decides is not there, and may be elsewhere."""
        names = {rule.claim for rule in (*self.admin, *self.read)}
        if "email" in names:
            names.add("email_verified")
        return any(claim_of(claims, name) is None for name in names)


def rules_of(written: Iterable[str]) -> tuple[RoleRule, ...]:
    """CLAIM=VALUE each. Raises ValueError: the entry that is none."""
    found = list[RoleRule]()
    for each in written:
        claim, equals, value = each.partition("=")
        if not (equals and claim.strip() and value.strip()):
            raise ValueError(each)
        found.append(RoleRule(claim.strip(), value.strip()))
    return tuple(found)


def claim_of(claims: Claims, name: str) -> object:
    """A claim of that very name; else the one inside others that its points lead to."""
    if name in claims:
        return claims[name]
    found: object = claims
    for part in name.split("."):
        if not isinstance(found, Mapping):
            return None
        found = cast("Mapping[str, object]", found).get(part)
    return found


def key_of(claims: Claims, role: Literal["admin", "read"]) -> Key:
    """Somebody as pages know who is signed in: a key of no ring, good for no call from outside."""
    subject = one_line(claims["sub"], _SUBJECT_CHARACTERS)
    return Key(name=PREFIX + name_of(claims), digest=b"", role=role, subject=subject)


def name_of(claims: Claims) -> str:
    """What somebody is called, in one line."""
    for name in NAMES:
        found = claims.get(name)
        if not isinstance(found, str) or (name == "email" and not _is_verified(claims)):
            continue
        if shown := one_line(found, _NAME_CHARACTERS):
            return shown
    return "?"


def one_line(text: str, most: int) -> str:
    """So many characters at most, without those that are not seen or turn what is around them."""
    return "".join(c for c in text[: 4 * most] if c.isprintable()).strip()[:most]


def _is_verified(claims: Claims) -> bool:
    found = claims.get("email_verified")
    return found is True or found == "true"


def wanted_scopes(written: Sequence[str]) -> str:
    """As they are asked for."""
    return " ".join(dict.fromkeys(("openid", *written)))
