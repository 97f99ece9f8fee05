"""Who calls, as far as the log may say: a network, not an address."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Final

from starlette.datastructures import Headers
from starlette.types import Scope

from rerankd.core.errors import StartError

LOGGED_CHARACTERS: Final = 200  # of what a caller wrote
_HOPS: Final = 20  # entries of X-Forwarded-For that are looked at

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


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
    """The caller's network: /24 of an IPv4 address, /48 of an IPv6 one; "" = not known.

    X-Forwarded-For is believed from the right, for as long as those who wrote it are trusted.
    """
    peer = _address((scope.get("client") or ("",))[0])
    forwarded = ",".join(Headers(scope=scope).getlist("x-forwarded-for")).split(",")
    for entry in reversed(forwarded[-_HOPS:]):
        if peer is None or not _is_in(peer, trusted):
            break
        before = _address(entry)
        if before is None:
            break
        peer = before
    if peer is None:
        return ""
    prefix = 24 if peer.version == 4 else 48
    return str(ipaddress.ip_network((peer, prefix), strict=False))


def _is_in(address: Address, trusted: Sequence[Network]) -> bool:
    return any(address.version == each.version and address in each for each in trusted)


def _address(written: str) -> Address | None:
    try:
        found = ipaddress.ip_address(written.strip().strip("[]"))
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found
