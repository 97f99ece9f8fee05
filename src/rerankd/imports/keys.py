"""A key that exists already, as it can be taken over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Final

from rerankd.access.fields import KeyFields

_HEX: Final = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One row of an export: a key, or why it is none."""

    label: str  # what it is called there
    fields: KeyFields | None = None  # None = it is not taken over
    digests: tuple[bytes, ...] = ()  # SHA-256 of each way to write it
    budget: str = ""  # "12.50 USD/month", "3 USD/total"; "" = none
    lost: tuple[str, ...] = ()  # sentences: what has no place here
    refused: str = ""  # why it is not taken over


def sha256_of(written: str) -> bytes | None:
    """A SHA-256 in hex; None = it is none."""
    text = written.strip().lower()
    return bytes.fromhex(text) if len(text) == 64 and set(text) <= _HEX else None


def decimal_text(value: object) -> str | None:
    """A number of an export, to nine places and never by way of a float; None = it is none."""
    try:
        found = Decimal(str(value)).quantize(Decimal("1e-9")).normalize()
    except InvalidOperation:
        return None
    return f"{found:f}"


def iso_us(written: str) -> int | None:
    """Microseconds since 1970 of a time in ISO 8601, UTC without a zone; None = it is none."""
    try:
        found = datetime.fromisoformat(written)
    except ValueError:
        return None
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    return int(found.timestamp()) * 1_000_000


def set_beside(row: Mapping[str, object], names: Mapping[str, str]) -> Iterator[str]:
    """Sentences for what a row sets and has no place here: column -> what it is."""
    for name, what in names.items():
        if row.get(name) not in (None, "", 0, "0", False, "false", "f", [], {}, "{}", "[]", "null"):
            yield f"{name}: {what}"
