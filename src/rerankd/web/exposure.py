"""Who can reach the server, and what its keys must be for that."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

from rerankd.access.keys import Key
from rerankd.access.ring import KeyRing
from rerankd.core.errors import StartError
from rerankd.settings.schema import KeySettings

KEY_CHARACTERS = 16  # shorter ones can be guessed
_MAKE_ONE = "Make one with `openssl rand -hex 24`"


def check_exposure(
    host: str, keys: Sequence[KeySettings], *, has_stored: bool = False
) -> Iterable[str]:
    """Without keys, only this machine may call; with short ones too.

    Keys given as sha256 are of unknown length; those of the store are long.

    Args:
        host: where the server listens.
        keys: of the settings.
        has_stored: whether there are keys in the store, so that it is not open.

    Returns:
        Sentences to warn with.

    Raises:
        StartError: no keys or short ones, and an address that others can reach.
    """
    if is_loopback(host):
        return [_too_short(keys)] if _short(keys) else []
    if not keys and not has_stored:
        raise StartError(
            f"--host {host} can be reached from other machines, and no API key is "
            "configured. Set RERANKD_API_KEYS=key1,key2 or [[keys]] in the config file, or "
            "listen on 127.0.0.1. With a store, `rerankd keys create` makes one."
        )
    if _short(keys):
        raise StartError(
            f"--host {host} can be reached from other machines: {_too_short(keys)} Or listen on "
            "127.0.0.1."
        )
    return []


def check_places(ring: KeyRing, file: Iterable[Key]) -> None:
    """Raises StartError: a name, or a key, is in the settings and in the store."""
    if both := ring.clashes(file):
        raise StartError(
            f"keys {', '.join(both)}: the store has a key of that name, or the very key. Rename it "
            "in the settings, or take it out of one of the two."
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _short(keys: Sequence[KeySettings]) -> list[str]:
    """The names of the short ones."""
    return [k.name for k in keys if k.key is not None and len(k.key.strip()) < KEY_CHARACTERS]


def _too_short(keys: Sequence[KeySettings]) -> str:
    return (
        f"keys {', '.join(_short(keys))}: shorter than {KEY_CHARACTERS} characters, which can be "
        f"guessed. {_MAKE_ONE}."
    )
