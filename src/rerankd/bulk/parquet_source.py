"""Parquet: pairs, or requests with a list of documents. Row groups are read one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, cast

from rerankd.bulk.pairs_source import Columns, pair_row
from rerankd.bulk.rows import InputPlace, InputRow, Kind
from rerankd.bulk.wishes import Wishes
from rerankd.core.errors import StartError
from rerankd.core.request import Content, RerankRequest
from rerankd.extras import PARQUET, library

_BATCH_ROWS: Final = 1024
_DOCUMENTS: Final = "documents"


class ParquetRows:
    """A Source of a file with columns query and document, or query and documents."""

    def __init__(self, path: Path, wishes: Wishes, columns: Columns) -> None:
        """Look at its schema.

        Raises:
            StartError: pyarrow is not installed, or it is no such file.
        """
        self._path, self._wishes = path, wishes
        try:
            self._file: Any = library("pyarrow.parquet", PARQUET).ParquetFile(path)
        except (OSError, ValueError) as error:  # pyarrow's own errors are ValueErrors
            raise StartError(f"{path} cannot be read: {error}.") from error
        try:
            self._look(columns)
        except BaseException:
            self.close()
            raise

    def _look(self, columns: Columns) -> None:
        """Find the columns. Raises StartError."""
        there = set(self._file.schema_arrow.names)
        is_pairs = columns.document in there or _DOCUMENTS not in there
        self.kind: Kind = "pairs" if is_pairs else "requests"
        self._columns = columns if is_pairs else replace(columns, document=_DOCUMENTS)
        for name in (self._columns.query, self._columns.document):
            if name not in there:
                raise StartError(
                    f"{self._path} has no column {name}; it has {', '.join(sorted(there))}. "
                    "--columns names them."
                )
        own = [self._columns.id] if self._columns.id in there else []
        self._read = [*own, self._columns.query, self._columns.document]

    def share(self, place: InputPlace) -> float | None:
        """See Source."""
        return place.line / max(1, self._file.metadata.num_rows)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def rows(self, start: InputPlace) -> Iterator[InputRow]:
        """See Source."""
        groups: list[int] = []
        first = 0  # row of the first group that is read
        for group in range(self._file.num_row_groups):
            size = self._file.metadata.row_group(group).num_rows
            if not groups and first + size <= start.line:
                first += size
            else:
                groups.append(group)
        at = first
        for batch in self._file.iter_batches(
            batch_size=_BATCH_ROWS, row_groups=groups, columns=self._read
        ):
            for row in batch.to_pylist():
                at += 1
                if at > start.line:
                    yield self._row(at, row)

    def _row(self, line: int, row: dict[str, Any]) -> InputRow:
        names = self._columns
        own, query, text = row.get(names.id), row[names.query], row[names.document]
        after = InputPlace(line)
        if self.kind == "pairs":
            return pair_row(line, own, query, text, after, self._wishes)
        first = pair_row(line, own, query, "", after, self._wishes)
        if first.error:
            return first
        if not isinstance(text, list) or not text:
            return replace(first, request=None, error="documents: at least one is needed.")
        documents = cast("list[object]", text)
        bad = next((i for i, one in enumerate(documents) if not isinstance(one, str)), None)
        if bad is not None:
            return replace(first, request=None, error=f"documents[{bad}]: a string is expected.")
        request = RerankRequest(
            query=Content(value=query),
            documents=tuple(Content(value=str(document)) for document in documents),
        )
        return replace(first, request=self._wishes.applied(request))
