"""Who calls: an address for its key's networks, and as far as the log may say, a network."""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Sequence
from typing import Final

from starlette.datastructures import Headers
from starlette.types import Scope

from rerankd.access.keys import Address, Network, is_in
from rerankd.core.errors import StartError

LOGGED_CHARACTERS: Final = 200  # of what a caller wrote
_KNOWN: Final = 1024  # addresses, that are not read and written again
_HOPS: Final = 20  # entries of X-Forwarded-For that are looked at


def networks(written: Sequence[str]) -> tuple[Network, ...]:
    """Addresses and networks of proxies. Raises StartError."""
    found: list[Network] = []
    for each in written:
        try:
            found.append(ipaddress.ip_network(each.strip()))
        except ValueError:
            raise StartError(
                f"server.trusted_proxies: {each!r} is not an address or a network, such as "
                "10.0.0.0/8."
            ) from None
    return tuple(found)


def network_of(scope: Scope, trusted: Sequence[Network]) -> str:
    """The caller's network: /24 of an IPv4 address, /48 of an IPv6 one; "" = not known."""
    return network_around(address_of(scope, trusted))


@functools.lru_cache(maxsize=_KNOWN)
def network_around(address: Address | None) -> str:
    """As `network_of`."""
    if address is None:
        return ""
    prefix = 24 if address.version == 4 else 48
    return str(ipaddress.ip_network((address, prefix), strict=False))


def address_of(scope: Scope, trusted: Sequence[Network]) -> Address | None:
    """The caller's address; None = not known.

    X-Forwarded-For is believed from the right, for as long as those who wrote it are trusted.
    """
    peer = _peer((scope.get("client") or ("",))[0])
    if not trusted:
        return peer
    forwarded = ",".join(Headers(scope=scope).getlist("x-forwarded-for")).split(",")
    for entry in reversed(forwarded[-_HOPS:]):
        if peer is None or not any(is_in(peer, each) for each in trusted):
            break
        before = _address(entry)
        if before is None:
            break
        peer = before
    return peer


@functools.lru_cache(maxsize=_KNOWN)
def _peer(written: str) -> Address | None:
    """Of a connection: one that is kept asks again and again."""
    return _address(written)


def _address(written: str) -> Address | None:
    try:
        found = ipaddress.ip_address(written.strip().strip("[]"))
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found
