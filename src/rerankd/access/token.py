"""The keys that rerankd makes: `sk-rk-`, 8 characters to name it, 40 secret ones, 6 of a checksum.

They begin as forms and secret scanners expect, and a mistyped one shows without a look-up. 40
random characters of 62 are 238 bits: their plain SHA-256 cannot be searched.
"""

from __future__ import annotations

import secrets
import zlib
from typing import Final, NamedTuple

PREFIX: Final = "sk-rk-"
_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PUBLIC: Final = 8
_SECRET: Final = 40
_CHECK: Final = 6  # 62^6 > 2^32
LENGTH: Final = len(PREFIX) + _PUBLIC + _SECRET + _CHECK


class Token(NamedTuple):
    """A new key. The text is shown once and kept nowhere."""

    public_id: str
    text: str


def make(public_id: str | None = None) -> Token:
    """A new key.

    Args:
        public_id: of the key that it takes the place of; None = of a new one.
    """
    public_id = public_id or new_public_id()
    body = f"{PREFIX}{public_id}{_random(_SECRET)}"
    return Token(public_id, body + _checksum(body))


def new_public_id() -> str:
    """What a key is called where it may be read."""
    return _random(_PUBLIC)


def is_mistyped(presented: bytes) -> bool:
    """Whether something was meant to be one of our keys and cannot be one."""
    if not presented.startswith(PREFIX.encode()):
        return False
    try:
        text = presented.decode("ascii")
    except UnicodeDecodeError:
        return True
    return len(text) != LENGTH or _checksum(text[:-_CHECK]) != text[-_CHECK:]


def _random(count: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(count))


def _checksum(body: str) -> str:
    """CRC-32 in base 62."""
    left, digits = zlib.crc32(body.encode()), ""
    for _ in range(_CHECK):
        left, digit = divmod(left, len(_ALPHABET))
        digits = _ALPHABET[digit] + digits
    return digits
