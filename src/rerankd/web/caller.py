"""Whose key a GET came with, at any dialect's path."""

from __future__ import annotations

import base64
import binascii

from starlette.datastructures import Headers
from starlette.requests import Request

from rerankd.access.keys import Key, KeyRing
from rerankd.dialects.registry import Registry


def caller_of(request: Request, keys: KeyRing, registry: Registry, *, basic: bool = False) -> Key:
    """The key of a request.

    Args:
        request: with a path, whose dialect says which headers may hold a key.
        keys: those that are good.
        registry: the dialects.
        basic: whether the password of basic authentication may be it, as browsers ask for one.

    Raises:
        Unauthorized: there are keys, and it has none of them.
    """
    speaker = registry.speaker(request.url.path, request.headers)
    presented = speaker.presented_key(request.headers)
    if presented is None and basic:
        presented = _basic_password(request.headers)
    return keys.authenticate(presented)


def _basic_password(headers: Headers) -> bytes | None:
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(value, validate=True).partition(b":")[2]
    except (binascii.Error, ValueError):
        return None
