"""Rows and sums as files that other programs read, one batch in memory at a time."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO, Final, Literal

import msgspec

from rerankd.core.money import shown
from rerankd.extras import EXPORT, library
from rerankd.store.rows import COLUMNS, UsageRow
from rerankd.store.times import shown_time

Format = Literal["csv", "jsonl", "parquet"]
ROW_COLUMNS: Final = ("entry", *COLUMNS)
_BATCH: Final = 5000
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")  # what a spreadsheet may run


def write(
    out: BinaryIO, form: Format, names: Sequence[str], rows: Iterable[Mapping[str, Any]]
) -> int:
    """Write rows; money is decimal text in CSV, whole 10^-9 elsewhere.

    Args:
        out: where to.
        form: of the file.
        names: of the columns.
        rows: each with all of them.

    Returns:
        How many there were.

    Raises:
        StartError: Parquet, and its library is not installed.
    """
    match form:
        case "csv":
            return _csv(out, names, rows)
        case "jsonl":
            return _jsonl(out, names, rows)
        case "parquet":
            return _parquet(out, names, rows)


def safe_cell(value: object) -> object:
    """A text that a spreadsheet shows and does not run."""
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value


def in_units(name: str, value: Any) -> tuple[str, Any]:
    """A column as people read it: money in the currency, times in ISO 8601."""
    if name.endswith("_nano"):
        return name.removesuffix("_nano"), shown(value)
    if name in ("at_us", "done_us", "hour_us", "day_us"):
        return name.removesuffix("_us"), shown_time(value)
    return name, value


def _batches(rows: Iterable[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    left = iter(rows)
    while batch := list(itertools.islice(left, _BATCH)):
        yield batch


def _csv(out: BinaryIO, names: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> int:
    count = 0
    heads = [in_units(name, 0)[0] for name in names]
    for batch in itertools.chain([[]], _batches(rows)):
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if not count and not batch:
            writer.writerow(heads)
        for row in batch:
            writer.writerow([safe_cell(in_units(name, row[name])[1]) for name in names])
        out.write(text.getvalue().encode())
        count += len(batch)
    return count


def _jsonl(out: BinaryIO, names: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> int:
    count, encode = 0, msgspec.json.Encoder().encode
    for batch in _batches(rows):
        out.write(b"".join(encode({name: row[name] for name in names}) + b"\n" for row in batch))
        count += len(batch)
    return count


def _parquet(out: BinaryIO, names: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> int:
    arrow, parquet = library("pyarrow", EXPORT), library("pyarrow.parquet", EXPORT)
    texts = {"entry", "key_name", "team", "model"}
    texts |= {f.name for f in msgspec.structs.fields(UsageRow) if isinstance(f.default, str)}
    texts |= {"request_id"}
    schema = arrow.schema(
        [(name, arrow.string() if name in texts else arrow.int64()) for name in names]
    )
    count = 0
    with parquet.ParquetWriter(out, schema, compression="zstd") as writer:
        for batch in _batches(rows):
            columns = {name: [row[name] for row in batch] for name in names}
            writer.write_table(arrow.table(columns, schema=schema))
            count += len(batch)
    return count
