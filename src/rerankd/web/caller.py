"""Whose key a request came with."""

from __future__ import annotations

import base64
import binascii

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import Scope

from rerankd.access.keys import Key
from rerankd.access.ring import UnknownKey
from rerankd.dialects.registry import Registry
from rerankd.web.client import address_of, network_around
from rerankd.web.state import State


def admitted(state: State, presented: bytes | None, scope: Scope) -> Key:
    """The key that was presented; every way in asks here.

    Args:
        state: of the server.
        presented: as it came in a header.
        scope: of the request.

    Raises:
        Unauthorized: there are keys, and it is none of them, or one that is good no more.
        Forbidden: it may not come from there.
        RateLimited: its network sent too many unknown keys.
    """
    address = address_of(scope, state.trusted)
    try:
        return state.keys.authenticate(presented, address)
    except UnknownKey:
        network = network_around(address)
        state.wrong_keys.note(network)
        if state.accounts is not None:
            state.accounts.ledger.unauthorized(str(network))
        raise


def caller_of(request: Request, state: State, registry: Registry, *, basic: bool = False) -> Key:
    """The key of a GET at any dialect's path.

    Args:
        request: with a path, whose dialect says which headers may hold a key.
        state: of the server.
        registry: the dialects.
        basic: whether the password of basic authentication may be it, as browsers ask for one.

    Raises:
        Unauthorized, Forbidden, RateLimited: as `admitted`.
    """
    speaker = registry.speaker(request.url.path, request.headers)
    presented = speaker.presented_key(request.headers)
    if presented is None and basic:
        presented = _basic_password(request.headers)
    return admitted(state, presented, request.scope)


def _basic_password(headers: Headers) -> bytes | None:
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(value, validate=True).partition(b":")[2]
    except (binascii.Error, ValueError):
        return None
