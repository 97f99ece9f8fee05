"""Another server that is asked at URLs of its choice: addresses checked, answers bounded.

A connection carries one request, so that none is sent twice; redirects are not followed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode, urlsplit

from rerankd.core.errors import StartError
from rerankd.dialects.wire import WireAnswer
from rerankd.gateway.address import Guard, Origin, origin_of
from rerankd.gateway.transport import Kept, Sent
from rerankd.media.gate import SystemResolver

_CONNECT_S: Final = 3.0
_ANSWER_BYTES: Final = 262_144
_ORIGINS: Final = 8  # that a peer has; more, and all are made anew
_URL_CHARACTERS: Final = 2_000
_SENDABLE: Final = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class Place:
    """A URL that may be asked."""

    origin: Origin
    target: str  # path and query, percent-encoded


def place_of(url: str) -> Place:
    """A URL, read strictly. Raises StartError; the message lacks what it is the URL of."""
    if len(url) > _URL_CHARACTERS or not _SENDABLE.fullmatch(url):
        raise StartError("is too long, or has characters that no URL has.")
    head, has_query, query = url.partition("?")
    origin = origin_of(head)
    path = urlsplit(head).path or "/"
    return Place(origin, f"{path}?{query}" if has_query else path)


class Peer:
    """Asks it."""

    def __init__(self, allow: Sequence[str], *, user_agent: str) -> None:
        """Nothing is asked yet.

        Args:
            allow: hosts, addresses and networks on a private network that it may be at.
            user_agent: what this server calls itself.
        """
        self._allow = tuple(allow)
        self._headers = {"connection": "close", "user-agent": user_agent}
        self._resolver = SystemResolver()
        self._ways: dict[Origin, Kept] = {}

    async def get(
        self, place: Place, headers: Mapping[str, str], *, timeout_s: float
    ) -> WireAnswer:
        """The answer to a GET, whatever its status. Raises AttemptFailed."""
        said = {**self._headers, **headers}
        sent = Sent(target=place.target, headers=said, body=b"", method="GET")
        return await self._way(place.origin).send(sent, timeout_s=timeout_s)

    async def post(
        self,
        place: Place,
        form: Mapping[str, str],
        headers: Mapping[str, str],
        *,
        timeout_s: float,
    ) -> WireAnswer:
        """The answer to a form, whatever its status. Raises AttemptFailed."""
        kind = {"content-type": "application/x-www-form-urlencoded"}
        said = {**self._headers, **kind, **headers}
        sent = Sent(target=place.target, headers=said, body=urlencode(form).encode())
        return await self._way(place.origin).send(sent, timeout_s=timeout_s)

    def close(self) -> None:
        """End the threads that look up names; no connection outlives its request."""
        self._resolver.close()

    def _way(self, origin: Origin) -> Kept:
        if origin not in self._ways:
            if len(self._ways) >= _ORIGINS:
                self._ways.clear()
            self._ways[origin] = Kept(
                origin,
                Guard(origin, self._allow),
                self._resolver,
                connect_s=_CONNECT_S,
                answer_bytes=_ANSWER_BYTES,
                keeps=False,
            )
        return self._ways[origin]
