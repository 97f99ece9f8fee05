"""Which source reads an input: by its name, its first line, or as the command says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rerankd.bulk.pairs_source import Columns, PairLines, PairTable, is_pairs
from rerankd.bulk.requests_source import RequestLines
from rerankd.bulk.rows import Source
from rerankd.bulk.wishes import Wishes
from rerankd.core.errors import StartError

_JSON: Final = (".jsonl", ".ndjson", ".json")
_TABLES: Final = (".tsv", ".tab")


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """An input as it was named."""

    path: Path
    columns: Sequence[str] = ()

    def files(self) -> list[Path]:
        """All files that are read."""
        return [self.path]

    def source(self, wishes: Wishes) -> Source:
        """What reads it. Raises StartError: it is of no kind that is read."""
        path, columns = self.path, Columns.of(self.columns)
        if not path.exists():
            raise StartError(f"{path}: no such file.")
        form = _form(path)
        if form in _TABLES:
            return PairTable(path, wishes, columns)
        if form in _JSON and is_pairs(path, columns):
            return PairLines(path, wishes, columns)
        if form in _JSON:
            return RequestLines(path, wishes)
        raise StartError(f"{path}: its name ends in none of {', '.join((*_JSON, *_TABLES))}.")


def _form(path: Path) -> str:
    """How its name ends, without .gz."""
    return Path(path.name.removesuffix(".gz")).suffix.lower()
