"""An OpenID Connect issuer on loopback: right in everything, until a test makes it wrong."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import secrets
import time
import warnings
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

from joserfc import jwt
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, OKPKey, RSAKey

from tests.kit.support import Json

CLIENT, SECRET = "rerankd", "a secret: with & signs"
SUBJECT = "248289761001"


@functools.cache
def rsa(name: str = "key-1") -> RSAKey:
    """A key by its name, made once."""
    return RSAKey.generate_key(2048, {"kid": name, "use": "sig", "alg": "RS256"})


@functools.cache
def elliptic(name: str = "key-ec") -> ECKey:
    """A key by its name, made once."""
    return ECKey.generate_key("P-256", {"kid": name, "use": "sig"})


@functools.cache
def edwards(name: str = "key-ed") -> OKPKey:
    """A key by its name, made once."""
    return OKPKey.generate_key("Ed25519", {"kid": name, "use": "sig"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request that came."""

    method: str
    path: str
    headers: dict[str, str]
    form: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What it answers."""

    body: bytes = b"{}"
    status: int = 200
    headers: tuple[str, ...] = ("content-type: application/json",)
    wait: asyncio.Event | None = None  # before it does

    @classmethod
    def json(cls, content: object, status: int = 200) -> Said:
        """JSON."""
        return cls(body=json.dumps(content).encode(), status=status)


@dataclass(slots=True, kw_only=True)
class FakeIssuer:
    """The issuer of one test."""

    url: str
    claims: Json = field(default_factory=lambda: {"groups": ["ops"], "preferred_username": "anna"})
    userinfo: Json = field(default_factory=dict[str, Any])
    asked: list[Asked] = field(default_factory=list[Asked])
    says: dict[str, Said] = field(default_factory=dict[str, Said])  # by path, instead
    more: Json = field(default_factory=dict[str, Any])  # of the discovery document
    keys: list[Any] = field(default_factory=lambda: [rsa()])
    header: Json = field(default_factory=lambda: {"alg": "RS256", "kid": "key-1"})
    signer: Any = None  # instead of the first key
    sign: Callable[[Json], str] | None = None  # instead of all that
    codes: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])

    def authorize(self, location: str, **more: str) -> str:
        """What a browser that signs in there is sent back to, with a code."""
        place = urlsplit(location)
        assert f"{place.scheme}://{place.netloc}{place.path}" == f"{self.url}/authorize"
        asked = {name: values[0] for name, values in parse_qs(place.query).items()}
        code = secrets.token_urlsafe(16)
        self.codes[code] = asked
        said = {"code": code, "state": asked["state"], "iss": self.url, **more}
        given = "&".join(f"{n}={v}" for n, v in said.items() if v)
        return f"{asked['redirect_uri']}?{given}"

    def token(self, asked: dict[str, str], **claims: Any) -> str:
        """An ID token for one who asked."""
        now = int(time.time())
        said = {
            "iss": self.url,
            "aud": CLIENT,
            "sub": SUBJECT,
            "iat": now,
            "exp": now + 300,
            "nonce": asked["nonce"],
        }
        content = {n: v for n, v in {**said, **self.claims, **claims}.items() if v is not None}
        if self.sign is not None:
            return self.sign(content)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SecurityWarning)  # of EdDSA's name
            key = self.signer or self.keys[0]
            return jwt.encode(self.header, content, key, [self.header["alg"]])

    def answer(self, asked: Asked) -> Said:
        """What it says."""
        self.asked.append(asked)
        if (said := self.says.get(asked.path)) is not None:
            return said
        match asked.path:
            case "/.well-known/openid-configuration":
                return Said.json(self.discovery())
            case "/jwks":
                return Said.json({"keys": [key.as_dict(private=False) for key in self.keys]})
            case "/token":
                return self._exchanged(asked)
            case "/userinfo":
                return Said.json({"sub": SUBJECT, **self.userinfo})
            case _:
                return Said(status=404)

    def discovery(self) -> Json:
        """Its document."""
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/jwks",
            "userinfo_endpoint": f"{self.url}/userinfo",
            "id_token_signing_alg_values_supported": ["RS256", "ES256", "EdDSA", "HS256", "none"],
            "authorization_response_iss_parameter_supported": True,
            **self.more,
        }

    def count(self, path: str) -> int:
        """How often it was asked there."""
        return sum(asked.path == path for asked in self.asked)

    def _exchanged(self, asked: Asked) -> Said:
        """A code is good once."""
        begun = self.codes.pop(asked.form.get("code", ""), None)
        if begun is None:
            return Said.json({"error": "invalid_grant"}, 400)
        return Said.json(
            {"id_token": self.token(begun), "access_token": "at", "token_type": "Bearer"}
        )


@contextlib.asynccontextmanager
async def issuing() -> AsyncGenerator[FakeIssuer]:
    """An issuer on a free port."""
    found = FakeIssuer(url="")

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            said = found.answer(await _read(reader))
            if said.wait is not None:
                await said.wait.wait()
            reason = HTTPStatus(said.status).phrase
            head = (f"HTTP/1.1 {said.status} {reason}", f"content-length: {len(said.body)}")
            writer.write("\r\n".join((*head, *said.headers, "", "")).encode() + said.body)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    found.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield found
    finally:
        server.close()


async def _read(reader: asyncio.StreamReader) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *lines = head.strip().split("\r\n")
    method, target, _ = first.split(" ")
    headers = {n.lower(): v for n, _, v in (line.partition(": ") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    form = {n: v[0] for n, v in parse_qs(body.decode(), keep_blank_values=True).items()}
    return Asked(method=method, path=urlsplit(target).path, headers=headers, form=form)
