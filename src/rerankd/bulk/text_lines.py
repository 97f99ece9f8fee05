"""Lines of a large file from any place on, plain or gzipped, each of bounded length."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, cast

from rerankd.bulk.rows import InputPlace
from rerankd.core.errors import StartError

MOST_BYTES: Final = 64 << 20  # of a line
_SKIP_BYTES: Final = 1 << 20
_MARK: Final = b"\xef\xbb\xbf"  # with which some programs begin a file


@dataclass(frozen=True, slots=True)
class TextLine:
    """One line that is not blank."""

    number: int  # from 1
    text: bytes  # without its end; of a line over MOST_BYTES its beginning
    after: InputPlace
    is_too_long: bool = False


def text_lines(path: Path, start: InputPlace) -> Iterator[TextLine]:
    """Lines from a place on; blank ones are counted and left out.

    Raises:
        StartError: the file cannot be read, or has ended before the place.
    """
    try:
        with opened(path) as file:
            _skip(file, start.offset, path)
            yield from _lines(file, start)
    except (OSError, EOFError, zlib.error) as error:
        raise unreadable(path, error) from error


def opened(path: Path) -> IO[bytes]:
    """A file's bytes, unpacked. Raises OSError."""
    if path.suffix == ".gz":
        return cast("IO[bytes]", gzip.open(path, "rb"))  # it is one, but for its type
    return path.open("rb", buffering=1 << 20)


def share_read(path: Path, place: InputPlace) -> float | None:
    """How much of a file is before a place; None: it is packed, and nobody knows."""
    return None if path.suffix == ".gz" else place.offset / max(1, path.stat().st_size)


def unreadable(path: Path, error: Exception) -> StartError:
    """What is said of a file that cannot be read."""
    return StartError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.")


def first_line(path: Path) -> bytes:
    """The first line that is not blank; empty: there is none. Raises StartError."""
    return next((line.text for line in text_lines(path, InputPlace())), b"")


def _skip(file: IO[bytes], offset: int, path: Path) -> None:
    """Go to an offset of the unpacked bytes: what is packed has to be read."""
    if not isinstance(file, gzip.GzipFile):  # pyright: ignore[reportUnnecessaryIsInstance]
        file.seek(offset)
        return
    while offset > 0:
        read = len(file.read(min(offset, _SKIP_BYTES)))
        if not read:
            raise StartError(f"{path} is shorter than it was.")
        offset -= read


def _lines(file: IO[bytes], start: InputPlace) -> Iterator[TextLine]:
    number, offset = start.line, start.offset
    while line := file.readline(MOST_BYTES + 1):
        number, offset = number + 1, offset + len(line)
        is_too_long = len(line) > MOST_BYTES
        while is_too_long and not line.endswith(b"\n"):
            rest = file.readline(_SKIP_BYTES)
            offset += len(rest)
            if not rest or rest.endswith(b"\n"):
                break
        if number == 1:
            line = line.removeprefix(_MARK)
        text = line.rstrip(b"\r\n")
        if text.strip():
            yield TextLine(number, text, InputPlace(number, offset), is_too_long)
