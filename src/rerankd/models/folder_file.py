"""The files of a model folder as bytes and as checked JSON: bounded, and StartError only.

A folder is data that somebody else wrote. Sizes are looked at before a file is read, its nesting
before it is decoded, and what cannot be read is told apart from what is damaged.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import numpy as np

from rerankd.core.errors import StartError
from rerankd.models.cause import unreadable

Fields = TypeVar("Fields")

SINGLE: Final = "model.safetensors"  # the weights; or, where they are in several files:
INDEX: Final = "model.safetensors.index.json"
MAX_JSON_BYTES: Final = 4 << 20  # the largest known, a tokenizer_config.json, has 1.2 MB
MAX_JSON_DEPTH: Final = 64  # config.json of vision models has 5
MAX_SHOWN: Final = 120  # characters of a file's own words in a message
MAX_SAID: Final = 300  # of a library's
_SLICE: Final = 1 << 20  # bytes looked at in one step
_BOM: Final = b"\xef\xbb\xbf"
_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")
_NO_STRUCTURE: Final = bytes(set(range(256)) - set(b'[]{}"'))
_STEPS: Final = bytes(1 if byte in b"[{" else 255 if byte in b"]}" else 0 for byte in range(256))


def read_bytes(path: Path, limit_bytes: int) -> bytes:
    """A whole file.

    Raises:
        StartError: it is missing, no regular file, larger than the limit, or cannot be read.
    """
    try:
        if not path.exists():
            raise StartError(f"{path} is missing; is {path.parent} a complete checkpoint folder?")
        if not path.is_file():
            raise StartError(f"{path} is not a regular file; put the checkpoint's own file there.")
        with path.open("rb") as stream:
            data = stream.read(limit_bytes + 1)
            size = max(path.stat().st_size, len(data))
    except OSError as error:
        raise unreadable(path, error) from error
    if len(data) > limit_bytes:
        raise StartError(
            f"{path} has {size} bytes; at most {limit_bytes} are read. No published checkpoint has "
            "such a file: use the checkpoint as its publisher has it."
        )
    return data


def read_json(path: Path, kind: type[Fields]) -> Fields:
    """One JSON file of a folder, checked; what `kind` does not have is not looked at.

    Raises:
        StartError: it is missing, too large or nested too deep, not UTF-8, not JSON, says a key
            twice, or is not of that kind; file, key and value are named.
    """
    data = json_text(path, read_bytes(path, MAX_JSON_BYTES))
    try:
        decoded = msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise StartError(f"{path} cannot be used: {in_words(data, error)}.") from error
    _refuse_duplicates(path, data)
    return decoded


def json_text(path: Path, data: bytes) -> bytes:
    """The bytes of a JSON file without a byte order mark.

    Raises:
        StartError: they are not UTF-8, or nested too deep.
    """
    data = data.removeprefix(_BOM)
    fault = text_fault(data)
    if fault is not None:
        raise StartError(f"{path} {fault}. Use the file as its publisher has it.")
    return data


def text_fault(data: bytes) -> str | None:
    """Why a JSON text must not be decoded, if so; linear in its size, whatever it holds."""
    if data.startswith(_UTF16):
        return "is UTF-16, not UTF-8 (iconv -f UTF-16 -t UTF-8 makes it that)"
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return f"is not UTF-8 (byte {error.start})"
    depth = _depth(data)
    if depth > MAX_JSON_DEPTH:
        return f"nests {depth} levels deep; at most {MAX_JSON_DEPTH} are read"
    return None


def shown(value: object) -> str:
    """A value of a file as a message may show it: on one line, printable, not long."""
    if isinstance(value, str):
        return f"'{printable(value, MAX_SHOWN)}'"
    return printable(repr(value), MAX_SHOWN)


def printable(text: str, limit: int = MAX_SAID) -> str:
    """What somebody else wrote, on one line and not longer than the limit (characters)."""
    text = text if len(text) <= limit else f"{text[: limit - 2]} …"
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


@contextmanager
def failing_as(says: str) -> Generator[None]:
    """What a library raises inside is a StartError: a bare Exception, or a panic, which is neither.

    Args:
        says: the message, with {} for what the library said.
    """
    try:
        yield
    except (KeyboardInterrupt, SystemExit, StartError):
        raise
    except BaseException as error:
        said = printable(str(error) or type(error).__name__)
        raise StartError(says.replace("{}", said)) from error


def _depth(data: bytes) -> int:
    """How deep the brackets nest that stand outside of strings."""
    plain = data.replace(b"\\\\", b"").replace(b'\\"', b"").translate(None, delete=_NO_STRUCTURE)
    outside = re.sub(rb'"[^"]*"?', b"", plain.replace(b'""', b""))
    steps = np.frombuffer(outside.translate(_STEPS), dtype=np.int8)
    level = deepest = 0
    for start in range(0, steps.size, _SLICE):
        levels = np.cumsum(steps[start : start + _SLICE], dtype=np.int32)
        deepest = max(deepest, level + int(levels.max()))
        level += int(levels[-1])
    return deepest


def _refuse_duplicates(path: Path, data: bytes) -> None:
    """A key that is there twice: two readers of one file may take different ones."""

    def unique(pairs: list[tuple[str, Any]]) -> None:
        keys: set[str] = set()
        for key, _ in pairs:
            if key in keys:
                raise StartError(f"{path} says {shown(key)} twice; leave one.")
            keys.add(key)

    try:
        json.loads(data, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:  # an integer of 5 000 digits
        raise StartError(f"{path} cannot be used: {error}.") from error


def in_words(data: bytes, error: Exception) -> str:
    """A decoder's error with the value that it is about, where its path leads to one."""
    said = printable(str(error))
    match = re.search(r"at `\$((?:\.\w+|\[\d+\])*)`", said)
    if match is None or not isinstance(error, msgspec.ValidationError):
        return said
    try:
        value: Any = json.loads(data)
        for name, index in re.findall(r"\.(\w+)|\[(\d+)\]", match[1]):
            value = value[name] if name else value[int(index)]
    except (ValueError, RecursionError, KeyError, IndexError, TypeError):
        return said
    return f"{said}, but it is {shown(value)}" if isinstance(value, (str, int, float)) else said
