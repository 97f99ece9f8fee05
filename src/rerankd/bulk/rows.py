"""What bulk work reads: rows of an input, each a request or what is wrong with it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import msgspec

from rerankd.core.request import RerankRequest

# requests: a query and its documents; pairs: a query and one document; run, collection: as
# requests, with names of the documents, of which a TREC run is made.
Kind = Literal["requests", "pairs", "run", "collection"]
Name = str | int  # as the input has it: a number stays one


class InputPlace(msgspec.Struct, frozen=True):
    """Where the next row is: how many lines or rows are behind, and the source's own word."""

    line: int = 0
    offset: int = 0  # bytes, unpacked, where the input is text


@dataclass(frozen=True, slots=True, kw_only=True)
class InputRow:
    """One row of an input."""

    line: int  # from 1
    id: Name
    after: InputPlace  # of the row behind it
    request: RerankRequest | None = None  # None: it cannot be used
    names: Sequence[Name] = ()  # of the documents; () = they have none
    error: str = ""  # why it cannot be used

    @property
    def pairs(self) -> int:
        """Pairs of a query and a document."""
        return 0 if self.request is None else len(self.request.documents)

    @property
    def characters(self) -> int:
        """Of all pairs: about what they cost, and what they take in memory."""
        if self.request is None:
            return 0
        texts = sum([len(document.value) for document in self.request.documents])
        return texts + self.pairs * len(self.request.query.value)


class Source(Protocol):
    """An input that can be read from any place between two rows."""

    @property
    def kind(self) -> Kind:
        """What its rows are."""
        ...

    def rows(self, start: InputPlace) -> Iterator[InputRow]:
        """All rows from there on. Raises StartError: it cannot be read any more."""
        ...

    def share(self, place: InputPlace) -> float | None:
        """How much of it is before a place, 0 to 1; None: nobody knows."""
        ...

    def close(self) -> None:
        """Close what is open."""
        ...


class WindowLimits(msgspec.Struct, frozen=True):
    """When a window is full: its last row is the one that reaches a limit."""

    pairs: int = 8192
    characters: int = 8 << 20
    rows: int = 8192


def windows(rows: Iterable[InputRow], limits: WindowLimits) -> Iterator[list[InputRow]]:
    """Rows in groups that are scored together, in order.

    Where they are cut depends on the rows alone, from the first of the window on: so that whoever
    begins at the start of any window has the same ones behind it.
    """
    window: list[InputRow] = []
    pairs = characters = 0
    for row in rows:
        window.append(row)
        pairs, characters = pairs + row.pairs, characters + row.characters
        is_full = pairs >= limits.pairs or characters >= limits.characters
        if is_full or len(window) >= limits.rows:
            yield window
            window, pairs, characters = [], 0, 0
    if window:
        yield window


def sampled(rows: Iterable[InputRow], share: float | None) -> Iterator[InputRow]:
    """The rows of a sample: always the same ones of an input, spread over it.

    Args:
        rows: in order.
        share: of the rows, 0 < share < 1; None = all.
    """
    for row in rows:
        if share is None or int(row.line * share) > int((row.line - 1) * share):
            yield row
