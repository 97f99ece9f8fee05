"""An API key: who somebody is, and what he may do. Only the SHA-256 of a key is kept."""

from __future__ import annotations

import functools
import hashlib
import ipaddress
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final, Literal, get_args

from rerankd.core.errors import Forbidden

Role = Literal["call", "explain", "read", "admin"]
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

ROLES: Final[tuple[Role, ...]] = get_args(Role)
# What a key of a role may do: rank, see how a score came about, read and change what operators see.
_MAY: Final[dict[Role, frozenset[Role]]] = {
    "call": frozenset({"call"}),
    "explain": frozenset({"call", "explain"}),
    "read": frozenset({"read"}),
    "admin": frozenset(ROLES),
}


@dataclass(slots=True, kw_only=True, eq=False)
class Team:
    """Several keys of the store with limits that they share.

    One object for all of them: an edit changes it in place, whatever the number of its keys.
    """

    id: int
    name: str
    models: frozenset[str] | None = None
    rpm: int | None = None
    tpm: int | None = None
    rpd: int | None = None
    tpd: int | None = None
    in_flight: int | None = None
    archived: bool = False  # its keys are refused

    def become(self, other: Team) -> None:
        """Take over what another object of the same team says."""
        for name in self.__slots__:
            setattr(self, name, getattr(other, name))

    @property
    def holder(self) -> bytes:
        """Whose limits these are."""
        return b"t" + self.id.to_bytes(8, "big")


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One API key. Never holds the key itself."""

    name: str
    digest: bytes  # SHA-256 of the key
    id: int | None = None  # in the store; None = of the settings
    public_id: str = ""  # the part of it that may be shown
    subject: str = ""  # at an issuer, which signed somebody in: no key at all
    team: Team | None = None
    models: frozenset[str] | None = None  # None = all; "*" in a name stands for anything
    rpm: int | None = None  # requests per minute, None = no limit
    tpm: int | None = None  # input tokens per minute, None = no limit
    rpd: int | None = None  # the same per day of UTC
    tpd: int | None = None
    in_flight: int | None = None  # requests at once
    networks: tuple[Network, ...] = ()  # that it may come from; () = all
    role: Role = "call"
    expires: float | None = None  # seconds since 1970
    revoked: bool = False

    @property
    def holder(self) -> bytes:
        """Whose limits and memory these are, at most 16 bytes; a rotation does not change it."""
        return self.digest[:16] if self.id is None else self.id.to_bytes(8, "big")

    @property
    def team_id(self) -> int | None:
        """Of its team in the store."""
        return None if self.team is None else self.team.id

    @property
    def owners(self) -> tuple[Key | Team, ...]:
        """Whose limits it has to keep: its own, those of its team."""
        return (self,) if self.team is None else (self, self.team)

    def allows(self, *names: str) -> bool:
        """Whether it may use a model by any of its names."""
        return all(owner.models is None or _is_among(names, owner.models) for owner in self.owners)

    def check_model(self, *names: str) -> None:
        """Allow a model by any of its names: the one asked for, or the one that answers.

        Raises:
            Forbidden: none of the names is among the key's models, or its team's.
        """
        if not self.allows(*names):
            raise Forbidden("This key may not use this model.")

    def may(self, what: Role) -> bool:
        """Whether it is for that."""
        return what in _MAY[self.role]

    def check_role(self, what: Role) -> None:
        """Raises Forbidden: it is not for that."""
        if not self.may(what):
            raise Forbidden(f"This key's role is {self.role}: it is not for this.", reason="role")

    def check_network(self, address: Address | None) -> None:
        """Raises Forbidden: it may not come from there."""
        if not self.networks:
            return
        if address is None or not any(is_in(address, each) for each in self.networks):
            raise Forbidden("This key may not be used from this network.", reason="network")


ANYONE = Key(name="", digest=b"", role="explain")  # the caller where no keys are configured


def is_in(address: Address, network: Network) -> bool:
    """Whether a network has an address, of the same IP version."""
    return address.version == network.version and address in network


def digest(key: str | bytes) -> bytes:
    """SHA-256 of a key as it comes in a header."""
    return hashlib.sha256(key.encode() if isinstance(key, str) else key).digest()


def key_of(
    *,
    name: str,
    key: str | None,
    sha256: str | None,
    models: Iterable[str] | None,
    rpm: int | None,
    tpm: int | None,
) -> Key:
    """A configured key, hashed: the key itself, or else its SHA-256 in hex, is not kept."""
    return Key(
        name=name,
        digest=bytes.fromhex(sha256 or "") if key is None else digest(key.strip()),
        models=None if models is None else frozenset(models),
        rpm=rpm,
        tpm=tpm,
    )


def matching(pattern: str, names: Iterable[str]) -> list[str]:
    """The names that a pattern of a key's models stands for."""
    return [name for name in names if name == pattern or _fits(pattern, name)]


def _is_among(names: Collection[str], models: frozenset[str]) -> bool:
    if not models.isdisjoint(names):
        return True
    return any("*" in model and any(_fits(model, name) for name in names) for model in models)


def _fits(pattern: str, name: str) -> bool:
    return "*" in pattern and _compiled(pattern).fullmatch(name) is not None


@functools.lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    parts = (re.escape(part) for part in re.split(r"\*+", pattern))
    return re.compile(".*".join(parts), re.DOTALL)
