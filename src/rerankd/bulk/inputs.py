"""Which source reads an input: by its name, its first line, or as the command says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rerankd.bulk.lists_source import collection_files, of_collection, of_run
from rerankd.bulk.pairs_source import Columns, PairLines, PairTable, is_pairs
from rerankd.bulk.parquet_source import ParquetRows
from rerankd.bulk.requests_source import RequestLines
from rerankd.bulk.rows import Source
from rerankd.bulk.wishes import Wishes
from rerankd.core.errors import StartError

_JSON: Final = (".jsonl", ".ndjson", ".json")
_TABLES: Final = (".tsv", ".tab")
_PARQUET: Final = ".parquet"
_RUNS: Final = (".run", ".trec")


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """An input as it was named."""

    path: Path
    columns: Sequence[str] = ()
    topics: Path | None = None
    documents: Path | None = None

    def files(self) -> list[Path]:
        """All files that are read."""
        if self.path.is_dir():
            return collection_files(self.path)
        return [each for each in (self.path, self.topics, self.documents) if each is not None]

    def source(self, wishes: Wishes) -> Source:
        """What reads it. Raises StartError: it is of no kind that is read."""
        path, columns = self.path, Columns.of(self.columns)
        if not path.exists():
            raise StartError(f"{path}: no such file.")
        if (self.topics is None) != (self.documents is None):
            raise StartError("--topics and --documents go together: the texts of a TREC run.")
        if self.topics is not None and self.documents is not None:
            return of_run(path, self.topics, self.documents, wishes)
        if path.is_dir():
            return of_collection(path, wishes)
        form = _form(path)
        if form in _TABLES:
            return PairTable(path, wishes, columns)
        if form == _PARQUET:
            return ParquetRows(path, wishes, columns)
        if form in _JSON and is_pairs(path, columns):
            return PairLines(path, wishes, columns)
        if form in _JSON:
            return RequestLines(path, wishes)
        if form in _RUNS:
            raise StartError(f"{path}: a TREC run needs its texts, --topics and --documents.")
        known = ", ".join((*_JSON, *_TABLES, _PARQUET))
        raise StartError(
            f"{path}: its name ends in none of {known}. A TREC run needs --topics and --documents."
        )


def _form(path: Path) -> str:
    """How its name ends, without .gz."""
    return Path(path.name.removesuffix(".gz")).suffix.lower()
