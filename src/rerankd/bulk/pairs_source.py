"""Pairs of a query and a document: JSON lines, or tab-separated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from rerankd.bulk.requests_source import check_length
from rerankd.bulk.rows import InputPlace, InputRow, Kind, Name
from rerankd.bulk.text_lines import TextLine, first_line, share_read, text_lines
from rerankd.bulk.wishes import Wishes
from rerankd.core.errors import InvalidRequest, StartError

FIELDS: Final = ("id", "query", "document")
# Columns of tables without a header, by how many there are; 4: query id, document id, both texts,
# as MS MARCO's triples and candidates have them.
_BY_COUNT: Final[dict[int, tuple[str, ...]]] = {
    2: ("query", "document"),
    3: ("id", "query", "document"),
    4: ("query_id", "document_id", "query", "document"),
}


@dataclass(frozen=True, slots=True)
class Columns:
    """Which column or key of an input holds what; `id` may be missing."""

    id: str = "id"
    query: str = "query"
    document: str = "document"

    @classmethod
    def of(cls, written: Sequence[str]) -> Columns:
        """From `query=question` and the like. Raises StartError."""
        found: dict[str, str] = {}
        for each in written:
            name, equals, column = each.partition("=")
            if not equals or name not in FIELDS or not column or name in found:
                raise StartError(
                    f"--columns {each}: id=…, query=… or document=… is expected, each once."
                )
            found[name] = column
        return cls(**found)


def pair_row(
    line: int, own: object, query: object, document: object, after: InputPlace, wishes: Wishes
) -> InputRow:
    """One pair as a row; what is no text, or an empty query, cannot be used."""
    name: Name = line
    error = _wrong("query", query) or _wrong("document", document)
    if isinstance(own, str | int) and not isinstance(own, bool):
        name = own
    elif own is not None:
        error = "id: a string or a whole number is expected."
    if error or not isinstance(query, str) or not isinstance(document, str):
        return InputRow(line=line, id=name, after=after, error=error)
    return InputRow(line=line, id=name, after=after, request=wishes.pair(query, document))


def _wrong(name: str, value: object) -> str:
    if value is None:
        return f"{name}: is missing."
    if not isinstance(value, str):
        return f"{name}: a string is expected, not {type(value).__name__}."
    return "" if value or name == "document" else "query: at least 1 character is needed."


@dataclass(frozen=True, slots=True)
class PairLines:
    """A Source of JSON objects, one pair a line."""

    path: Path
    wishes: Wishes
    columns: Columns

    @property
    def kind(self) -> Kind:
        """Pairs."""
        return "pairs"

    def share(self, place: InputPlace) -> float | None:
        """See Source."""
        return share_read(self.path, place)

    def close(self) -> None:
        """Nothing is open between two rows."""

    def rows(self, start: InputPlace) -> Iterator[InputRow]:
        """See Source."""
        decode = msgspec.json.Decoder(dict[str, object]).decode
        names = self.columns
        for line in text_lines(self.path, start):
            try:
                check_length(line)
                found = decode(line.text)
            except InvalidRequest as error:
                yield _bad(line, error.message)
            except (msgspec.MsgspecError, ValueError, RecursionError) as error:
                yield _bad(line, f"The line: {error}.")
            else:
                values = (found.get(names.id), found.get(names.query), found.get(names.document))
                yield pair_row(line.number, *values, line.after, self.wishes)


@dataclass(frozen=True, slots=True)
class PairTable:
    """A Source of tab-separated pairs, with a first line of names or without."""

    path: Path
    wishes: Wishes
    columns: Columns

    @property
    def kind(self) -> Kind:
        """Pairs."""
        return "pairs"

    def share(self, place: InputPlace) -> float | None:
        """See Source."""
        return share_read(self.path, place)

    def close(self) -> None:
        """Nothing is open between two rows."""

    def rows(self, start: InputPlace) -> Iterator[InputRow]:
        """See Source."""
        header = self._header()
        for line in text_lines(self.path, start):
            if header.is_written and line.number == header.line:
                continue
            try:
                check_length(line)
                parts = line.text.decode().split("\t")
            except InvalidRequest as error:
                yield _bad(line, error.message)
                continue
            except UnicodeDecodeError as error:
                yield _bad(line, f"The line is not UTF-8 (byte {error.start}).")
                continue
            if len(parts) != header.count:
                expected = f"{len(parts)} columns; {header.count} are expected."
                yield _bad(line, f"The line has {expected}")
                continue
            own, query, document = header.values(parts)
            yield pair_row(line.number, own, query, document, line.after, self.wishes)

    def _header(self) -> _Header:
        """Raises StartError: no query or no document among the columns."""
        line = next(text_lines(self.path, InputPlace()), None)
        names = self.columns
        found = [] if line is None else line.text.decode(errors="replace").split("\t")
        is_written = {names.query, names.document} <= set(found)
        columns = tuple(found) if is_written else _BY_COUNT.get(len(found), ())
        places = {name: place for place, name in enumerate(columns)}
        if not is_written and names != Columns():
            raise StartError(
                f"{self.path}: its first line names no columns {names.query} and {names.document}."
            )
        if names.query not in places or names.document not in places:
            raise StartError(
                f"{self.path} line 1 has {len(found)} columns. A table has query and document; id, "
                "query and document; or query id, document id, query and document. Or its first "
                "line names them (--columns)."
            )
        return _Header(places, len(columns), names, line.number if line else 0, is_written)


@dataclass(frozen=True, slots=True)
class _Header:
    places: Mapping[str, int]  # by name
    count: int
    names: Columns
    line: int
    is_written: bool

    def values(self, parts: Sequence[str]) -> tuple[str | None, str, str]:
        """Id, query and document of a line."""
        query, document = (parts[self.places[n]] for n in (self.names.query, self.names.document))
        if self.names.id in self.places:
            return parts[self.places[self.names.id]], query, document
        if not self.is_written and self.count == len(_BY_COUNT[4]):
            return f"{parts[0]} {parts[1]}", query, document
        return None, query, document


def _bad(line: TextLine, message: str) -> InputRow:
    return InputRow(line=line.number, id=line.number, after=line.after, error=message)


def is_pairs(path: Path, columns: Columns) -> bool:
    """Whether the first line of a file of JSON is a pair. Raises StartError."""
    try:
        found = msgspec.json.decode(first_line(path), type=dict[str, object])
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return False
    return columns.document in found and "documents" not in found
