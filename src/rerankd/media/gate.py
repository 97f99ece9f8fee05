"""The one place where a name becomes addresses, each of them checked.

A host is resolved once per connection, and the connection goes to a checked address itself
(`guarded`): there is no second look-up that could answer differently.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from rerankd.core.errors import StartError
from rerankd.media import address
from rerankd.media.address import Address, Network
from rerankd.media.refused import Refused

Resolve = Callable[[str], Awaitable[Sequence[str]]]  # host -> addresses; OSError when there is none

_TRIED = 4  # addresses of one host
_LOOK_UPS = 32  # threads, as many as fetches: a silent name server holds one for some seconds

# One sentence for both: who may call must not learn which names exist inside.
_NOT_PUBLIC = "its host must have public addresses, and no others"


@dataclass(frozen=True, slots=True)
class AllowedHost:
    """One entry of media.allow: a host or a network, on one port or on those of media.ports."""

    host: str | None
    net: Network | None
    port: int | None

    def permits(self, host: str, port: int, found: Address | None, ports: Sequence[int]) -> bool:
        """Whether a connection is allowed; found is None before the name is resolved."""
        if port != self.port and (self.port is not None or port not in ports):
            return False
        if self.net is None:
            return host == self.host
        return found is None or found in self.net


def entry(written: str) -> AllowedHost:
    """`host`, `host:port`, an address, `address:port` or a network (CIDR).

    Raises:
        StartError: it is none of these.
    """
    wrong = StartError(
        f"media.allow: {written!r} is no host, host:port, address or network. Write "
        'images.example.com, minio.internal:9000, 10.1.2.3 or 10.1.0.0/16; IPv6 as "[fd00::1]:80".'
    )
    text = written.strip().lower()
    if "/" in text or (text.count(":") > 1 and not text.startswith("[")):
        return AllowedHost(None, _network(text, wrong), None)
    found = re.fullmatch(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([0-9]{1,5}))?", text)
    if found is None or (found[2] and not 0 < int(found[2]) < 65536):
        raise wrong
    host, port = found[1].strip("[]").removesuffix("."), int(found[2]) if found[2] else None
    if re.fullmatch(r"[0-9a-f:.]*:[0-9a-f:.]*|[0-9.]+", host):
        return AllowedHost(None, _network(host, wrong), port)
    return AllowedHost(host, None, port)


def _network(text: str, wrong: StartError) -> Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        raise wrong from None


class SystemResolver:
    """getaddrinfo, on threads of its own: a slow name server holds up no other work."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_LOOK_UPS, thread_name_prefix="resolve")

    async def __call__(self, host: str) -> Sequence[str]:
        """All addresses of a host. Raises OSError."""
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(
            self._threads, lambda: socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        )
        return list(dict.fromkeys(str(each[4][0]) for each in found))

    def close(self) -> None:
        """End the threads that wait for nothing."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class Gate:
    """Says which addresses a host and a port may be connected to."""

    def __init__(
        self, resolve: Resolve, *, allow: Iterable[str] = (), ports: Sequence[int] = (80, 443)
    ) -> None:
        """Raises StartError for an entry that cannot be read."""
        self._resolve = resolve
        self._allow = tuple(entry(written) for written in allow)
        self._ports = tuple(ports)

    async def addresses(self, host: str, port: int) -> list[Address]:
        """The addresses of a host, each checked.

        One that may not be reached refuses them all: a host of images has no business to name it.

        Raises:
            Refused: host, port or an address may not be reached, or the host has none.
        """
        self._check_named(host, port)
        try:
            found = [address.parse(host)]
        except ValueError:
            found = await self._looked_up(host)
        for each in found:
            self._check(host, port, each)
        if not found:
            raise Refused(_NOT_PUBLIC)
        return found[:_TRIED]

    def _check_named(self, host: str, port: int) -> None:
        """What can be said before a look-up, which tells a name server what callers ask for."""
        if not self._allow and port not in self._ports:
            raise Refused(f"port {port} of its host is not allowed (media.ports)")
        if self._allow and not any(e.permits(host, port, None, self._ports) for e in self._allow):
            raise Refused("its host and port are not allowed here (media.allow)")

    async def _looked_up(self, host: str) -> list[Address]:
        try:
            return [address.parse(found) for found in await self._resolve(host)]
        except (OSError, ValueError):
            raise Refused(_NOT_PUBLIC) from None

    def _check(self, host: str, port: int, found: Address) -> None:
        kind = address.kind_of(found)
        if kind == "never":
            raise Refused(_NOT_PUBLIC)
        if self._allow:
            if not any(each.permits(host, port, found, self._ports) for each in self._allow):
                raise Refused("its host and port are not allowed here (media.allow)")
        elif kind != "public":
            raise Refused(_NOT_PUBLIC)
