"""Who gets into the admin API: nobody without a key for it, no page of another site.

A browser can be made to call a server that only its machine reaches: by a name that an attacker's
DNS gives that address (so the Host header must be a name of this server), or by a form on another
site (so what changes anything must come from a page of this server, or from no page at all).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import Scope

from rerankd.access.keys import ANYONE, Key
from rerankd.core.errors import Forbidden, Unauthorized
from rerankd.dialects.registry import SERVED
from rerankd.web.caller import admitted
from rerankd.web.state import State

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN: Final = frozenset({"same-origin", "none"})  # of Sec-Fetch-Site


class AdminGate:
    """Checks each call before anything else of it is looked at."""

    def __init__(self, state: State, hosts: Collection[str]) -> None:
        """Of one server.

        Args:
            state: of the server.
            hosts: names that it has beside those of the machine itself: [admin] hosts, server.host.
        """
        self._state = state
        self._named = frozenset(host.lower().strip("[]") for host in hosts)
        self._hosts = _LOOPBACK | self._named

    def check(self, scope: Scope) -> None:
        """Raises Forbidden: the call came under another name, or from a page of another site."""
        headers = Headers(scope=scope)
        host = _host(f"//{headers.get('host', '')}")
        if host not in self._hosts and not _is_address_of(scope, host):
            raise Forbidden(
                f"Host: {host[:100]!r} is no name of this server for the admin API. Add it to "
                "[admin] hosts, or use the address that it listens on.",
                reason="host",
            )
        if scope["method"] in _READS:
            return
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        is_own = site is None or site in _OWN
        if origin is not None and origin.partition("://")[2] != headers.get("host"):
            is_own = is_own and _host(origin) in self._named
        if not is_own:
            raise Forbidden(
                "A page of another site sent this; the admin API changes nothing for it.",
                reason="origin",
            )

    def admit(self, request: Request) -> Key:
        """The key of a call; it may at least read.

        Raises:
            Unauthorized: there is none, also on a server that is open, or it is not good.
            Forbidden: it has no role here, or may not come from there.
            RateLimited: too many unknown keys from its network.
        """
        presented = SERVED.root.presented_key(request.headers)
        if not presented:
            raise Unauthorized(_NEEDED)
        key = admitted(self._state, presented, request.scope)
        if key is ANYONE:
            raise Unauthorized(_NEEDED)
        key.check_role("read")
        return key


_NEEDED: Final = (
    "The admin API needs the key of an administrator, as Authorization: Bearer KEY. The first one "
    "is made on the machine: rerankd keys create NAME --admin."
)


def _host(url: str) -> str:
    """The host of a URL, without its port; "" = there is none."""
    try:
        return (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return ""


def _is_address_of(scope: Scope, host: str) -> bool:
    """Whether it is the very address that the connection came in at."""
    try:
        reached = ipaddress.ip_address((scope.get("server") or ("",))[0])
        return ipaddress.ip_address(host) == reached
    except ValueError:
        return False
