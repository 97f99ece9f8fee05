"""The keys of an upstream: from variables or a file, never from the settings themselves."""

from __future__ import annotations

import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from rerankd.core.errors import StartError

_MOST_BYTES: Final = 65_536


class KeyMissing(StartError):
    """A variable is not set, or a file is not there: the settings may be good elsewhere."""


def keys_in(names: str | Sequence[str], env: Mapping[str, str]) -> tuple[str, ...]:
    """The keys in environment variables, several separated by commas.

    Raises:
        KeyMissing: a variable is not set or empty; the message lacks the setting's name.
        StartError: one holds what cannot be a key.
    """
    found: list[str] = []
    for name in (names,) if isinstance(names, str) else names:
        keys = [key.strip() for key in env.get(name, "").split(",") if key.strip()]
        if not keys:
            raise KeyMissing(f"the variable {name} is not set, or is empty.")
        found += (_checked(key, f"the variable {name}") for key in keys)
    if not found:
        raise StartError("names no variable.")
    return tuple(dict.fromkeys(found))


def keys_of_file(written: str) -> tuple[str, ...]:
    """The keys in a file, one per line.

    Raises:
        KeyMissing: it is not there; the message lacks the setting's name.
        StartError: it cannot be read, others may read it, or it holds no key.
    """
    path = Path(written).expanduser()
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(path.stat().st_mode)
            raw = file.read(_MOST_BYTES + 1)
    except FileNotFoundError as error:
        raise KeyMissing(f"cannot read {written}: {error.strerror}.") from None
    except (OSError, ValueError) as error:  # the latter: no path at all
        why = error.strerror if isinstance(error, OSError) else None
        raise StartError(f"cannot read {written!r}: {why or error}.") from None
    if mode & stat.S_IROTH:
        raise StartError(f"everybody on this machine may read {written}: chmod o-r {written}.")
    if len(raw) > _MOST_BYTES:
        raise StartError(f"{written} is too long to hold keys.")
    lines = [line.strip() for line in raw.decode("utf-8", "replace").splitlines()]
    keys = [_checked(line, written) for line in lines if line and not line.startswith("#")]
    if not keys:
        raise StartError(f"{written} holds no key.")
    return tuple(dict.fromkeys(keys))


def _checked(key: str, where: str) -> str:
    """A key that can stand in a header."""
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise StartError(f"{where} holds what is no key: only visible ASCII characters are.")
    return key
