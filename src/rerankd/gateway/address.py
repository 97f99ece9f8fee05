"""Where an upstream is: its URL, read strictly, joined with a dialect's path; its addresses."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import quote, urlsplit

from rerankd.core.errors import StartError
from rerankd.media import address
from rerankd.media.address import Address
from rerankd.media.gate import AllowedHost, entry

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_HOST = re.compile(r"\[[0-9a-f:.]+\]|[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_])?\.?")
_VERSION = re.compile(r"v[0-9]+")
_LOOPBACK_NAMES: Final = {"localhost", "ip6-localhost"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Scheme, host and port of an upstream, and the path that its requests are below."""

    scheme: Literal["http", "https"]
    host: str  # lower case, without brackets
    port: int
    base: str  # "" or "/path", without a slash at its end

    @property
    def authority(self) -> str:
        """As the Host header has it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether the URL itself names this machine."""
        return self.host in _LOOPBACK_NAMES or _is_loopback(self.host)

    def target(self, path: str) -> str:
        """The path to ask for, percent-encoded.

        What base and path share is there once, and a /v1 at the base's end goes where the path
        brings its own version or has none: SDKs take both spellings.
        """
        base, wanted = self.base.strip("/").split("/"), path.strip("/").split("/")
        for size in range(min(len(base), len(wanted)), 0, -1):
            if base[-size:] == wanted[:size]:
                base = base[:-size]
                break
        else:
            if _VERSION.fullmatch(base[-1]):
                base = base[:-1]
        return "/" + "/".join(quote(part, safe="") for part in (*base, *wanted) if part)


def origin_of(url: str) -> Origin:
    """An upstream's URL.

    Raises:
        StartError: it is no plain http(s) URL; the message lacks the setting's name.
    """
    if re.search(r"[\x00-\x20\x7f\\]", url):
        raise StartError("has a space, a control character or a backslash.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise StartError("is no URL.") from None
    if parts.scheme not in ("http", "https"):
        raise StartError("is no http:// or https:// URL.")
    if "@" in parts.netloc:
        raise StartError("has a user or a password in it. Give the key with key_env or key_file.")
    if parts.query or parts.fragment or "?" in url or "#" in url:
        raise StartError("has a query or a fragment. Give the base URL only.")
    host = (parts.hostname or "").removesuffix(".")
    shown = f"[{host}]" if ":" in host else host
    if not _HOST.fullmatch(shown) or port == 0:
        raise StartError("has no host that could exist.")
    scheme = "https" if parts.scheme == "https" else "http"
    return Origin(
        scheme=scheme,
        host=host,
        port=port or _DEFAULT_PORTS[scheme],
        base=parts.path.rstrip("/"),
    )


class Guard:
    """Says which addresses an upstream's host may stand for."""

    def __init__(self, origin: Origin, allow: Iterable[str]) -> None:
        """Raises StartError for an entry that cannot be read; the message names the entry."""
        self._origin = origin
        self._allow = tuple(_entry(written) for written in allow)

    def refused(self, found: Sequence[Address]) -> str:
        """Why a connection to these addresses may not be made; "" = it may."""
        for each in found:
            kind = address.kind_of(each)
            if kind == "public" or (self._origin.is_loopback and each.is_loopback):
                continue
            if kind == "never":
                return "is an address that nobody may be sent to"
            if not self._is_allowed(each):
                return "is on a private network, which needs an entry in allow"
        return "" if found else "has no address"

    def _is_allowed(self, found: Address) -> bool:
        host, port = self._origin.host, self._origin.port
        return any(each.permits(host, port, found, (port,)) for each in self._allow)

    def refused_now(self, look_up: Callable[[str], Sequence[str]]) -> str:
        """As `refused`, for what the host stands for at the moment; "" when nobody knows it."""
        try:
            return self.refused([address.parse(found) for found in look_up(self._origin.host)])
        except (OSError, ValueError):
            return ""


def _entry(written: str) -> AllowedHost:
    try:
        return entry(written)
    except StartError:
        raise StartError(
            f"{written!r} is no host, host:port, address or network, such as 10.1.0.0/16."
        ) from None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
