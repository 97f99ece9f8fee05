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
from html import escape
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
    target: str  # with the query
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
    people: dict[str, Json] = field(default_factory=dict[str, Json])  # of its page, by link
    codes: dict[str, tuple[dict[str, str], Json | None]] = field(
        default_factory=dict[str, tuple[dict[str, str], Json | None]]
    )

    def authorize(self, location: str, claims: Json | None = None, /, **more: str) -> str:
        """What a browser that signs in there is sent back to, with a code.

        Args:
            location: where it was sent to.
            claims: of who signs in; None = those of the issuer then.
            more: to be sent back instead; empty = not sent.
        """
        place = urlsplit(location)
        assert f"{place.scheme}://{place.netloc}{place.path}" == f"{self.url}/authorize"
        asked = {name: values[0] for name, values in parse_qs(place.query).items()}
        code = secrets.token_urlsafe(16)
        self.codes[code] = (asked, claims)
        said = {"code": code, "state": asked["state"], "iss": self.url, **more}
        given = "&".join(f"{n}={v}" for n, v in said.items() if v)
        return f"{asked['redirect_uri']}?{given}"

    def token(self, asked: dict[str, str], claims: Json) -> str:
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
        content = {n: v for n, v in {**said, **claims}.items() if v is not None}
        if self.sign is not None:
            return self.sign(content)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SecurityWarning)  # of EdDSA's name
            key = self.signer or self.keys[0]
            return jwt.encode(self.header, content, key, [self.header["alg"]])

    def answer(self, asked: Asked) -> Said:
        """What it says."""
        self.asked.append(asked)
        answers: dict[str, Callable[[Asked], Said]] = {
            "/.well-known/openid-configuration": lambda _: Said.json(self.discovery()),
            "/authorize": self._page,
            "/jwks": lambda _: Said.json({"keys": [k.as_dict(private=False) for k in self.keys]}),
            "/token": self._exchanged,
            "/userinfo": lambda _: Said.json({"sub": SUBJECT, **self.userinfo}),
        }
        return self.says.get(asked.path) or answers.get(asked.path, lambda _: Said(status=404))(
            asked
        )

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
        found = self.codes.pop(asked.form.get("code", ""), None)
        if found is None:
            return Said.json({"error": "invalid_grant"}, 400)
        begun, claims = found
        token = self.token(begun, self.claims if claims is None else claims)
        return Said.json({"id_token": token, "access_token": "at", "token_type": "Bearer"})

    def _page(self, asked: Asked) -> Said:
        """Links to sign in by, one for each of its people."""
        links = "".join(
            f'<p><a href="{escape(self.authorize(self.url + asked.target, claims))}">{name}</a>'
            for name, claims in self.people.items()
        )
        body = f'<!doctype html><link rel="icon" href="data:,">{links}'.encode()
        return Said(body=body, headers=("content-type: text/html",))


@contextlib.asynccontextmanager
async def issuing(host: str = "127.0.0.1") -> AsyncGenerator[FakeIssuer]:
    """An issuer on a free port, under a name of this machine."""
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
    found.url = f"http://{host}:{server.sockets[0].getsockname()[1]}"
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
    path = urlsplit(target).path
    return Asked(method=method, path=path, target=target, headers=headers, form=form)
