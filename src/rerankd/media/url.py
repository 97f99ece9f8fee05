"""A caller's URL, parsed once and strictly: no second parser sees it, so none can disagree."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote, urljoin, urlsplit

from rerankd.media import address
from rerankd.media.refused import Refused

MAX_CHARACTERS = 8192
_DEFAULT_PORTS = {"http": 80, "https": 443}
_KEPT = "%/:=&?~#+!$,;'@()*[]"  # of a path and query: what is not percent-encoded again
_AUTHORITY = re.compile(
    r"(?P<host>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?", re.IGNORECASE
)
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")  # WHATWG: a host that ends so is an IPv4 address


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One hop: where to connect, and what to ask for."""

    scheme: Literal["http", "https"]
    host: str  # lower case; an address in its one usual spelling, without brackets
    port: int
    path: str  # with the query, ASCII
    is_address: bool

    @property
    def authority(self) -> str:
        """As the Host header has it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The whole URL, spelt in one way."""
        return f"{self.scheme}://{self.authority}{self.path}"


def parse(url: str) -> Target:
    """A URL as a hop to take.

    Raises:
        Refused: it is no plain http(s) URL; the reason has the way out.
    """
    if len(url) > MAX_CHARACTERS:
        raise Refused(f"its URL has {len(url)} characters; the limit is {MAX_CHARACTERS}")
    # urlsplit drops tabs and newlines and takes backslashes as they come: nothing it would mend.
    if re.search(r"[\x00-\x20\x7f\\]", url):
        raise Refused("its URL has a space, a control character or a backslash; percent-encode it")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise Refused("its URL cannot be read") from None
    if parts.scheme not in ("http", "https"):
        raise Refused(
            "only http and https URLs, data URIs and base64 are read, no files and no other scheme"
        )
    if "@" in parts.netloc:
        raise Refused("its URL has a user or a password; send one without")
    found = _AUTHORITY.fullmatch(parts.netloc)
    if found is None:
        raise Refused(
            "its URL has no plain host: an ASCII name (xn--… for others) or an address, and a port"
        )
    host, is_address = _host(found["host"].lower())
    port = int(found["port"]) if found["port"] else _DEFAULT_PORTS[parts.scheme]
    if not 0 < port < 65536:
        raise Refused("its URL has no port that could exist")
    path = quote(parts.path or "/", safe=_KEPT) + (
        "?" + quote(parts.query, safe=_KEPT) if parts.query else ""
    )
    return Target(
        scheme="https" if parts.scheme == "https" else "http",
        host=host,
        port=port,
        path=path if path.startswith("/") else "/" + path,
        is_address=is_address,
    )


def redirected(target: Target, location: bytes) -> Target:
    """Where a Location header leads. Raises Refused."""
    try:
        there = parse(urljoin(target.url, location.decode("utf-8")))
    except ValueError:  # UnicodeDecodeError is one
        raise Refused("its host redirects to what is no URL", "http") from None
    except Refused as refused:
        raise Refused(f"its host redirects, and {refused}") from None
    if target.scheme == "https" and there.scheme == "http":
        raise Refused("its host redirects from https to http")
    return there


def _host(written: str) -> tuple[str, bool]:
    """The host in its one spelling, and whether it is an address. Raises Refused."""
    wrong = Refused("its URL has no host that could exist")
    if written.startswith("["):
        try:
            return str(address.parse(written[1:-1])), True
        except ValueError:
            raise wrong from None
    host = written.removesuffix(".")
    labels = host.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        try:  # decimal, octal, hexadecimal and short forms, as getaddrinfo would read them
            return socket.inet_ntoa(socket.inet_aton(host)), True
        except OSError:
            raise wrong from None
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise wrong
    return host, False
