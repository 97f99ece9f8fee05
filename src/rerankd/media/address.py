"""Which internet addresses a caller's URL may lead to.

`ipaddress.is_global` alone is not enough: it follows the Python version's copy of the registries,
calls multicast global, and knows neither addresses that carry another one inside nor the metadata
services that clouds put on public or private addresses. So: what is not plainly public is refused.

Sources: IANA special-purpose address registries for IPv4 and IPv6; RFC 6052 and 8215 (NAT64),
5214 (ISATAP), 4291; the cloud providers' pages on their metadata services.
"""

from __future__ import annotations

import ipaddress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Literal

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

Kind = Literal["public", "inside", "never"]  # inside: only where the operator allows it by name

_INSIDE = tuple(
    ipaddress.ip_network(net)
    for net in (
        "10.0.0.0/8",  # private
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",  # carrier-grade NAT
        "127.0.0.0/8",  # loopback
        "::1/128",
        "fc00::/7",  # unique local
    )
)
_NEVER = tuple(
    ipaddress.ip_network(net)
    for net in (
        "0.0.0.0/8",  # this network: Linux connects 0.0.0.0 to loopback
        "169.254.0.0/16",  # link-local: AWS, Google, Azure, ECS metadata
        "100.100.100.200/32",  # Alibaba's metadata
        "168.63.129.16/32",  # Azure's wire server, on a public address
        "192.0.0.0/24",  # protocol assignments; Oracle's metadata
        "192.0.2.0/24",  # documentation
        "198.51.100.0/24",
        "203.0.113.0/24",
        "192.88.99.0/24",  # 6to4 relays
        "198.18.0.0/15",  # benchmarks
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
        "fd00:ec2::/32",  # AWS's metadata
        "fd20:ce::254/128",  # Google's metadata
        "2001::/23",  # protocol assignments: Teredo, ORCHID, benchmarks
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: an IPv4 address inside, by a relay that nobody chose
        "3fff::/20",  # documentation
    )
)
_GLOBAL_UNICAST = IPv6Network("2000::/3")  # all that IANA has given out
_NAT64 = IPv6Network("64:ff9b::/96")
_ISATAP = (0x00005EFE, 0x02005EFE)  # bits 64 to 95; the IPv4 address follows


def parse(text: str) -> Address:
    """An address as the resolver or a URL writes it; one mapped from IPv4 as that.

    Raises:
        ValueError: it is none, or names a network interface (a zone).
    """
    if "%" in text:
        raise ValueError("an address with a zone")
    found = ipaddress.ip_address(text)
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        return found.ipv4_mapped
    return found


def kind_of(address: Address) -> Kind:
    """Whether anybody's URL, only an allowed one, or none may lead there."""
    if any(address in net for net in _NEVER):
        return "never"
    if any(address in net for net in _INSIDE):
        return "inside"
    if isinstance(address, IPv4Address):
        return "public" if address.is_global and not address.is_multicast else "never"
    carried = _carried(address)
    if carried is not None and kind_of(carried) != "public":
        return "never"
    if address in _NAT64:
        return "public"
    return "public" if address in _GLOBAL_UNICAST and address.is_global else "never"


def _carried(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that a gateway would make of an IPv6 one."""
    low = IPv4Address(int(address) & 0xFFFF_FFFF)
    if address in _NAT64 or int(address) >> 32 & 0xFFFF_FFFF in _ISATAP:
        return low
    return None
