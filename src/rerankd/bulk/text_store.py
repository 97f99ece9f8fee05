"""Texts of a collection by id, on the disk: only where they are is held in memory."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Container
from pathlib import Path
from typing import IO

import msgspec

from rerankd.bulk.rows import InputPlace
from rerankd.bulk.text_lines import MOST_BYTES, TextLine, text_lines, unreadable
from rerankd.core.errors import StartError


class _Line(msgspec.Struct):
    """A text of a collection; `_id` and `title` as BEIR has them."""

    id: str | int | None = None
    other_id: str | int | None = msgspec.field(name="_id", default=None)
    text: str | None = None
    query: str | None = None
    title: str | None = None


_DECODE = msgspec.json.Decoder(_Line).decode


def scratch() -> IO[bytes]:
    """A file without a name; closed by whoever asked for it."""
    return tempfile.TemporaryFile()


class TextStore:
    """Texts of a file of JSON lines {id, text}, or of a table of id and text."""

    def __init__(self, path: Path, wanted: Container[str] | None = None) -> None:
        """Read it once.

        Args:
            path: plain or gzipped; what is packed is kept unpacked in a file without a name.
            wanted: ids whose texts will be asked for; None = all.

        Raises:
            StartError: it cannot be read, a line is no text, or an id is there twice.
        """
        self._path = path
        self._is_table = ".tsv" in path.suffixes
        self._places: dict[str, tuple[int, int]] = {}  # offset and length of the line
        is_packed = path.suffix == ".gz"
        try:
            self._file: IO[bytes] = scratch() if is_packed else path.open("rb")
        except OSError as error:
            raise unreadable(path, error) from error
        try:
            self._read(wanted, is_packed=is_packed)
        except BaseException:
            self._file.close()
            raise

    def _read(self, wanted: Container[str] | None, *, is_packed: bool) -> None:
        before = 0
        for line in text_lines(self._path, InputPlace()):
            begin, before = before, line.after.offset
            own, _ = self._parsed(line.text, line.number)
            if wanted is not None and own not in wanted:
                continue
            if line.is_too_long:
                raise StartError(f"{self._path} line {line.number}: more than {MOST_BYTES} bytes.")
            if own in self._places:
                raise StartError(f"{self._path} line {line.number}: {own} is there twice.")
            self._places[own] = self._kept(line) if is_packed else (begin, before - begin)
        self._file.flush()

    def _kept(self, line: TextLine) -> tuple[int, int]:
        begin = self._file.tell()
        return begin, self._file.write(line.text)

    def _parsed(self, raw: bytes, number: int) -> tuple[str, str]:
        """Id and text of a line. Raises StartError."""
        where = f"{self._path} line {number}"
        try:
            if self._is_table:
                own, _, text = raw.decode().partition("\t")
                return own, text
            line = _DECODE(raw.removeprefix(b"\xef\xbb\xbf"))
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise StartError(f"{where}: {error}") from error
        name = line.other_id if line.id is None else line.id
        text = line.query if line.text is None else line.text
        if name is None or text is None:
            raise StartError(f'{where}: {{"id": …, "text": …}} is expected.')
        return str(name), f"{line.title} {text}" if line.title else text

    def __contains__(self, own: str) -> bool:
        return own in self._places

    def __getitem__(self, own: str) -> str:
        """The text of an id that is there. Raises StartError: the file has changed."""
        offset, size = self._places[own]
        raw = os.pread(self._file.fileno(), size, offset)
        found, text = self._parsed(raw.strip(b"\r\n"), 0)
        if found != own:
            raise StartError(f"{self._path} has changed while it was read.")
        return text

    def ids(self) -> list[str]:
        """All, in order."""
        return list(self._places)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
