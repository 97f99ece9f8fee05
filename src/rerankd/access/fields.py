"""What may be written of a key or a team of the store, and that it can be meant."""

from __future__ import annotations

import ipaddress
from typing import Final

import msgspec
from msgspec import UNSET, UnsetType

from rerankd.access.keys import ROLES, Network, Role
from rerankd.core.errors import InvalidRequest

LIMITS: Final = ("rpm", "tpm", "rpd", "tpd", "in_flight")
_NAME: Final = 100  # characters
_NOTE: Final = 2_000
_ENTRIES: Final = 1_000  # models, networks, tags
_MOST: Final = 2**53  # what every reader of JSON can hold


class TeamFields(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of a team; UNSET = as it is, or its default."""

    name: str | UnsetType = UNSET
    models: list[str] | UnsetType | None = UNSET  # None = all; "*" in one stands for anything
    rpm: int | UnsetType | None = UNSET  # requests per minute; None = no limit
    tpm: int | UnsetType | None = UNSET  # input tokens per minute
    rpd: int | UnsetType | None = UNSET  # the same per day of UTC
    tpd: int | UnsetType | None = UNSET
    in_flight: int | UnsetType | None = UNSET  # requests at once
    note: str | UnsetType = UNSET

    def given(self) -> dict[str, object]:
        """What is set, by name."""
        values = {name: getattr(self, name) for name in self.__struct_fields__}
        return {name: value for name, value in values.items() if value is not UNSET}

    def check(self) -> None:
        """Raises InvalidRequest: names the field."""
        given = self.given()
        if "name" in given:
            _check_name(str(given["name"]))
        for name in LIMITS:
            value = given.get(name)
            if value is not None and not (isinstance(value, int) and 1 <= value <= _MOST):
                raise _wrong(name, "is a whole number from 1 up, or unset for no limit")
        if len(str(given.get("note", ""))) > _NOTE:
            raise _wrong("note", f"has more than {_NOTE} characters")
        if isinstance(self.models, list):
            _check_words("models", self.models)
            if not self.models:
                raise _wrong("models", "is empty: nothing could be asked. Leave it out for all")


class KeyFields(TeamFields, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of a key; UNSET = as it is, or its default."""

    team: str | UnsetType | None = UNSET  # by name
    role: Role | UnsetType = UNSET
    networks: list[str] | UnsetType | None = UNSET  # None = from anywhere
    expires_us: int | UnsetType | None = UNSET  # microseconds since 1970; None = never
    tags: list[str] | UnsetType | None = UNSET

    def check(self) -> None:
        """Raises InvalidRequest: names the field."""
        super().check()
        if self.role is not UNSET and self.role not in ROLES:
            raise _wrong("role", f"is one of {', '.join(ROLES)}")
        if isinstance(self.networks, list):
            _check_words("networks", self.networks)
            networks_of(self.networks)
        if isinstance(self.tags, list):
            _check_words("tags", self.tags)
        expires_us = self.expires_us
        if isinstance(expires_us, int) and not 0 <= expires_us <= _MOST:
            raise _wrong("expires", "is a time in this age")


def networks_of(written: list[str]) -> tuple[Network, ...]:
    """Addresses and networks. Raises InvalidRequest."""
    found: list[Network] = []
    for each in written:
        try:
            found.append(ipaddress.ip_network(each.strip()))
        except ValueError:
            raise _wrong(
                "networks", f"{each!r} is not an address or a network, such as 10.0.0.0/8"
            ) from None
    return tuple(found)


def _check_name(name: str) -> None:
    if not 1 <= len(name) <= _NAME or name != name.strip() or not name.isprintable():
        raise _wrong("name", f"is 1 to {_NAME} printable characters, without spaces around them")


def _check_words(field: str, words: list[str]) -> None:
    if len(words) > _ENTRIES:
        raise _wrong(field, f"has more than {_ENTRIES} entries")
    for word in words:
        if not 1 <= len(word) <= _NAME * 5 or not word.isprintable():
            raise _wrong(field, f"{word[:_NAME]!r} cannot be meant")


def _wrong(field: str, says: str) -> InvalidRequest:
    return InvalidRequest(f"{field}: {says}.", param=field)
