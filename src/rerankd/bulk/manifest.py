"""What a job is: its input, its options and who scores. A folder holds the rows of one job only."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Final, Literal

import msgspec

from rerankd.bulk.output import MANIFEST, JobCounts, OutputFolder, replace_file
from rerankd.bulk.rows import Kind, WindowLimits
from rerankd.core.errors import StartError

FORMAT: Final = 1
_READ_BYTES: Final = 1 << 20
_WHOLE_BYTES: Final = 16 << 20  # of a model's file; of a larger one its ends are looked at


class InputFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file of an input."""

    path: str  # absolute
    bytes: int
    mtime_ns: int
    sha256: str


class Manifest(msgspec.Struct, kw_only=True):
    """manifest.json."""

    format: int = FORMAT
    kind: Kind
    inputs: tuple[InputFile, ...]
    options: dict[str, str]  # that change what is written; each as it was given
    scorer: dict[str, str]  # who scores: what may not change
    machine: dict[str, str]  # where it began: what may change last digits
    window: WindowLimits
    state: Literal["unfinished", "complete"] = "unfinished"
    counts: JobCounts | None = None  # of a complete one
    parts: tuple[str, ...] = ()  # likewise

    def differences(self, now: Manifest) -> list[str]:
        """What is not the same in `now`, a sentence each."""
        found = list(_changed("kind of input", self.kind, now.kind))
        before = [(Path(each.path).name, each.sha256, each.bytes) for each in self.inputs]
        after = [(Path(each.path).name, each.sha256, each.bytes) for each in now.inputs]
        for old, new in zip(before, after, strict=False):
            if old[1] != new[1]:
                found.append(f"{new[0]}: other content ({old[2]} bytes then, {new[2]} now)")
        found += _changed("input files", str(len(before)), str(len(after)))
        for mine, other in ((self.options, now.options), (self.scorer, now.scorer)):
            found += _changes(mine, other)
        return found

    def write(self, folder: OutputFolder) -> None:
        """Write it, as one."""
        replace_file(
            folder.path / MANIFEST, msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"
        )


def _changes(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    for name in sorted({*before, *after}):
        yield from _changed(name, before.get(name, ""), after.get(name, ""))


def _changed(name: str, before: str, after: str) -> Iterator[str]:
    if before != after:
        yield f"{name}: {before or 'not given'} then, {after or 'not given'} now"


def moved(before: Manifest, now: Manifest) -> list[str]:
    """What the machine has otherwise."""
    return list(_changes(before.machine, now.machine))


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a folder; None: it has none. Raises StartError."""
    try:
        return msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise StartError(f"{folder / MANIFEST} cannot be read: {error}.") from None


def input_files(paths: Sequence[Path], known: Manifest | None) -> tuple[InputFile, ...]:
    """An input's files. One that is as it was, by size and time, is not read again.

    Raises:
        StartError: one cannot be read.
    """
    before = {} if known is None else {each.path: each for each in known.inputs}
    found: list[InputFile] = []
    for path in paths:
        try:
            absolute = str(path.resolve())
            stat, old = path.stat(), before.get(absolute)
            is_same = old is not None and (old.bytes, old.mtime_ns) == (
                stat.st_size,
                stat.st_mtime_ns,
            )
            digest = old.sha256 if old is not None and is_same else _digest(path)
        except OSError as error:
            raise StartError(f"{path} cannot be read: {error.strerror}.") from None
        found.append(
            InputFile(path=absolute, bytes=stat.st_size, mtime_ns=stat.st_mtime_ns, sha256=digest)
        )
    return tuple(found)


def fingerprint(folder: Path) -> str:
    """Of a model's files: of weights their sizes and ends, of all others everything.

    Raises:
        OSError: one cannot be read.
    """
    found = hashlib.sha256()
    paths = [path for form in ("*", "*/*") for path in folder.glob(form) if path.is_file()]
    for path in sorted(paths):
        size = path.stat().st_size
        found.update(f"{path.relative_to(folder)}\0{size}\0".encode())
        with path.open("rb") as file:
            if size <= _WHOLE_BYTES:
                found.update(file.read())
                continue
            found.update(file.read(_READ_BYTES))
            file.seek(size - _READ_BYTES)
            found.update(file.read())
    return found.hexdigest()[:32]


def _digest(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as file:
        for block in _blocks(file):
            found.update(block)
    return found.hexdigest()


def _blocks(file: IO[bytes]) -> Iterator[bytes]:
    while block := file.read(_READ_BYTES):
        yield block
