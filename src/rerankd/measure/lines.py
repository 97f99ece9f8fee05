"""Lines of a collection's files, plain or gzipped; what is wrong with one names file and line."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import TypeVar

import msgspec

from rerankd.core.errors import StartError

T = TypeVar("T")


def read_lines(path: Path) -> list[tuple[int, bytes]]:
    """Lines that are not blank, with their numbers from 1."""
    packed = path if path.suffix == ".gz" else path.with_name(path.name + ".gz")
    try:
        raw = gzip.decompress(packed.read_bytes()) if packed.exists() else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise StartError(f"{path} cannot be read: {reason}.") from error
    return [(number, line) for number, line in enumerate(raw.split(b"\n"), 1) if line.strip()]


def read_jsonl(path: Path, kind: type[T]) -> list[tuple[int, T]]:
    """Lines of JSON, with their numbers. Raises StartError."""
    decode = msgspec.json.Decoder(kind).decode
    lines: list[tuple[int, T]] = []
    for number, line in read_lines(path):
        try:
            lines.append((number, decode(line)))
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise StartError(f"{path} line {number}: {error}") from error
    return lines


def text_of(path: Path, number: int, line: bytes) -> str:
    """A line as text. Raises StartError: it is not UTF-8."""
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise StartError(f"{path} line {number} is not UTF-8 (byte {error.start}).") from error


def fields(path: Path, number: int, fields: list[str], form: str) -> list[str]:
    """The fields, as many as the form has. Raises StartError."""
    wanted = form.count(",") + 1
    if len(fields) != wanted:
        raise StartError(
            f"{path} line {number}: {len(fields)} fields; {wanted} are expected: {form}."
        )
    return fields


def grade_of(path: Path, number: int, written: str) -> int:
    """A relevance grade. Raises StartError: it is no whole number."""
    try:
        return int(written)
    except ValueError:
        raise StartError(
            f"{path} line {number}: the grade {written!r} is not a whole number."
        ) from None
