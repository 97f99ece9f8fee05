"""Keys by their SHA-256: columns name and sha256, and what `rerankd keys create` takes."""

from __future__ import annotations

from typing import Any, Final

from rerankd.access.fields import LIMITS, KeyFields
from rerankd.imports.keys import Found, iso_us, sha256_of
from rerankd.imports.rows import Row, number, text_of, words

_LISTS: Final = ("models", "networks", "tags")
_TEXTS: Final = ("team", "role", "note")
COLUMNS: Final = ("name", "sha256", *_LISTS, *_TEXTS, *LIMITS, "expires")


def found_in(row: Row) -> Found:
    """The key of a row."""
    name = text_of(row.get("name"))
    label = name or "a row without a name"
    if unknown := sorted(set(row) - set(COLUMNS)):
        known = ", ".join(COLUMNS)
        return Found(
            label=label, refused=f"{', '.join(unknown)}: no such column; there are {known}"
        )
    digest = sha256_of(text_of(row.get("sha256")))
    if digest is None:
        return Found(label=label, refused="sha256 is not 64 hexadecimal digits")
    given: dict[str, Any] = {"name": name}
    given |= {each: found for each in _LISTS if (found := words(row.get(each)))}
    given |= {each: found for each in _TEXTS if (found := text_of(row.get(each)))}
    for each in LIMITS:
        if text_of(row.get(each)):
            limit = number(row[each])
            if limit is None:
                return Found(label=label, refused=f"{each} is no whole number above 0")
            given[each] = limit
    if expires := text_of(row.get("expires")):
        given["expires_us"] = iso_us(expires)
        if given["expires_us"] is None:
            return Found(label=label, refused="expires is no time, such as 2027-01-31T12:00:00Z")
    return Found(label=label, fields=KeyFields(**given), digests=(digest,))
