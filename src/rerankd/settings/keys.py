"""What an API key in the settings must be."""

from __future__ import annotations

from hashlib import sha256

from rerankd.core.errors import StartError
from rerankd.settings.schema import KeySettings

_HASHES_OF_NOTHING = [sha256(nothing).hexdigest() for nothing in (b"", b"\n")]


def check_keys(keys: tuple[KeySettings, ...]) -> None:
    """Raises StartError: one has no key or no hash, an empty one, or is there twice."""
    names: set[str] = set()
    hashes: dict[str, str] = {}
    for key in keys:
        if key.name in names:
            raise StartError(f"keys: the name {key.name!r} is given twice.")
        names.add(key.name)
        if (key.key is None) == (key.sha256 is None):
            raise StartError(f"keys: {key.name!r} needs either key or sha256.")
        if key.key is not None and not key.key.strip():
            raise StartError(f"keys: {key.name!r} has an empty key.")
        if key.sha256 is not None and not _is_sha256(key.sha256):
            raise StartError(f"keys: sha256 of {key.name!r} is not 64 hexadecimal digits.")
        if key.sha256 is not None and key.sha256.lower() in _HASHES_OF_NOTHING:
            raise StartError(
                f"keys: sha256 of {key.name!r} is that of an empty key. Was the variable that was "
                "hashed empty?"
            )
        hashed = key.sha256 or sha256(str(key.key).strip().encode()).hexdigest()
        twin = hashes.setdefault(hashed.lower(), key.name)
        if twin != key.name:
            raise StartError(f"keys: {twin!r} and {key.name!r} are the same key.")


def _is_sha256(text: str) -> bool:
    return len(text) == 64 and all(c in "0123456789abcdefABCDEF" for c in text)
