"""Tensors of a folder's safetensors files, mapped into memory, as float32.

A float32 tensor is the file's own pages, which all processes share and the kernel drops when memory
runs short. Half-precision matrices are widened into an unnamed temporary file (in tempfile's
folder, which TMPDIR sets) that is mapped as well, so they are not private memory either.
A file that is deleted or replaced by another (as a hub's cache and every `mv` do) stays valid for
those who map it. One that is cut short or written over in place (as `cp` onto it does) does not:
the process dies of SIGBUS, or computes with what is there then. So: put new weights beside, and
move them into place.

Names in the wild become canonical: without the encoder's prefix, LayerNorm's old gamma and beta as
weight and bias, and what a family calls or joins differently (`rename`) under its usual names. fp16
and bf16 convert to float32 exactly. Pickle files are never opened.
Format: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import math
import mmap
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Final

import msgspec
import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from rerankd.core.errors import StartError
from rerankd.engines.mapped_arrays import MappedArrays
from rerankd.models.cause import unreadable
from rerankd.models.folder_file import INDEX, SINGLE, printable, read_json, shown, text_fault
from rerankd.models.wrapped import why_unfit

_BUFFERS = ("position_ids", "token_type_ids")  # counted up by transformers, not learned
_BYTES = {"F32": 4, "F16": 2, "BF16": 2}
_NUMPY: Final = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}
MAX_HEADER_BYTES: Final = 16 << 20  # a tensor takes about 110
_LET_GO_ROWS: Final = 2048  # with the pages around each of them 130 MB
MAX_TENSORS: Final = 65_536  # of a folder; MAX_LAYERS layers have half as many


class _Entry(msgspec.Struct):
    """One tensor in a safetensors header."""

    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


class _Index(msgspec.Struct):
    """model.safetensors.index.json."""

    weight_map: dict[str, str]


@dataclass(frozen=True, slots=True)
class _Tensor:
    """Where a tensor lies."""

    file: mmap.mmap
    start: int  # bytes from the beginning of the file
    dtype: str
    shape: tuple[int, ...]

    @property
    def is_aligned(self) -> bool:
        """Whether its numbers lie where the processor wants them: old files have odd headers."""
        return self.start % _BYTES[self.dtype] == 0

    def view(self, dtype: str) -> npt.NDArray[Any]:
        """The tensor where it lies, or a copy if it is not aligned."""
        count = math.prod(self.shape)
        array = np.frombuffer(self.file, dtype=dtype, count=count, offset=self.start)
        return (array if self.is_aligned else array.copy()).reshape(self.shape)

    def cut(self, count: int) -> list[_Tensor]:
        """Equal parts along the first axis, which lie behind one another in the file.

        A tensor that does not divide comes back cut short, with a shape that no model asks for.
        """
        if count == 1:
            return [self]
        rows = self.shape[0] // count if self.shape else 0
        shape = (rows, *self.shape[1:])
        step = math.prod(shape) * _BYTES.get(self.dtype, 1)
        return [_Tensor(self.file, self.start + i * step, self.dtype, shape) for i in range(count)]


class SafetensorsFolder:
    """All tensors of a checkpoint by canonical name; an `engines` Weights."""

    def __init__(
        self,
        folder: Path,
        *,
        prefix: str,
        rename: Callable[[str], tuple[str, ...]] | None = None,
        are_kept: bool = True,
    ) -> None:
        """Read the headers; no tensor yet.

        Args:
            folder: holds model.safetensors, or an index and shards.
            prefix: of the encoder's tensors; dropped.
            rename: from a name without the prefix to the canonical names of the equal parts that
                the tensor joins along its first axis, mostly one.
            are_kept: widened tensors live as long as the model, in a file; False for an engine that
                copies each to its device: no file, plain memory, one tensor at a time.

        Raises:
            StartError: files are missing, damaged, or lie outside the folder.
        """
        self._folder = folder
        self._canonical = partial(_canonical_parts, prefix=prefix, rename=rename)
        self._space = MappedArrays()
        self._are_kept = are_kept
        self._rows_read = 0  # since the files' pages were let go of
        self._tensors: dict[str, _Tensor] = {}
        for file, listed in _files(folder).items():
            tensors = _header(file, MAX_TENSORS - len(self._tensors))
            names = tensors.keys() if listed is None else listed
            for name in names:
                if name not in tensors:
                    raise StartError(
                        f"{file} lacks {shown(name)[1:-1]}, which {INDEX} says it holds."
                    )
                parts = self._canonical(name)
                for canonical, part in zip(parts, tensors[name].cut(len(parts)), strict=True):
                    if canonical in self._tensors:
                        raise StartError(
                            f"{folder} holds {shown(canonical)[1:-1]} twice, under two names."
                        )
                    self._tensors[canonical] = part

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """All tensors, buffers aside."""
        return {
            name: tensor.shape
            for name, tensor in self._tensors.items()
            if not name.endswith(_BUFFERS)
        }

    def require(
        self, wanted: Mapping[str, tuple[int, ...]], *, unread: tuple[str, ...] = ()
    ) -> None:
        """Check that exactly the wanted tensors are there, in their shapes and a float type.

        Args:
            wanted: canonical names and shapes.
            unread: prefixes of tensors that may be there and are not used.

        Raises:
            StartError: what differs, by name.
        """
        have = self.shapes()
        missing = [name for name in wanted if name not in have]
        unused = [name for name in have if name not in wanted and not name.startswith(unread)]
        if missing or unused:
            parts = [
                f"{what} {len(names)} ({', '.join(shown(name)[1:-1] for name in names[:3])}"
                f"{', …' if len(names) > 3 else ''})"
                for what, names in (("missing", missing), ("unused", unused))
                if names
            ]
            raise StartError(
                f"{self._folder}: the weights do not fit config.json: tensors {'; '.join(parts)}. "
                f"{why_unfit(self._folder, missing, unused, self._canonical)}"
            )
        for name, shape in wanted.items():
            if have[name] != shape:
                raise StartError(
                    f"{self._folder}: {name} has shape {shown(have[name])}, but config.json asks "
                    f"for {list(shape)}; config.json and weights belong to different models."
                )
            if self._tensors[name].dtype not in _BYTES:
                raise StartError(
                    f"{self._folder}: {name} is {self._tensors[name].dtype}; only F32, F16 and "
                    "BF16 weights are read. Use the checkpoint that is not quantised."
                )

    def __call__(self, name: str) -> npt.NDArray[np.float32]:
        """One tensor, float32, C order, not to be written to: it may be the mapped file."""
        tensor = self._tensors[name]
        stored = tensor.view(_NUMPY[tensor.dtype])
        if tensor.dtype == "F32":
            return stored
        kept = self._are_kept
        wide = (
            self._space.array(tensor.shape, np.float32)
            if kept
            else np.empty(tensor.shape, np.float32)
        )
        return _widened(stored, tensor.dtype, wide)

    def let_go(self) -> None:
        """Nothing of the files is in memory then; what is read again comes from them."""
        self._rows_read = 0
        if hasattr(mmap, "MADV_DONTNEED"):  # not on Windows
            for file in {id(each.file): each.file for each in self._tensors.values()}.values():
                file.madvise(mmap.MADV_DONTNEED)

    def rows(self, name: str, ids: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
        """Rows of a table, (V, h) and (L,) -> (L, h): only they are read and widened.

        The system maps the pages around a row as well; where nothing else of the files is in use,
        they are let go of again.
        """
        tensor = self._tensors[name]
        stored = tensor.view(_NUMPY[tensor.dtype])[ids]
        self._rows_read += ids.size
        if not self._are_kept and self._rows_read >= _LET_GO_ROWS:
            self.let_go()
        return _widened(stored, tensor.dtype, np.empty(stored.shape, dtype=np.float32))


def _widened(
    stored: npt.NDArray[Any], dtype: str, wide: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """What is stored as so many float32, written to `wide`."""
    if dtype == "BF16":  # the upper half of a float32
        bits = wide.view(np.uint32)
        bits[...] = stored
        bits <<= 16
    else:
        wide[...] = stored
    return wide


def shapes_in(file: Path) -> dict[str, tuple[int, ...]]:
    """The tensors of one file, under the names that it has them.

    Raises:
        StartError: it is damaged or cannot be read.
    """
    return {name: tensor.shape for name, tensor in _header(file, MAX_TENSORS).items()}


def shapes_of(folder: Path) -> dict[str, tuple[int, ...]]:
    """The tensors of all weight files of a folder; headers are read, no tensor.

    Raises:
        StartError: files are missing, damaged, or lie outside the folder.
    """
    return {name: shape for file in _files(folder) for name, shape in shapes_in(file).items()}


def _canonical_parts(
    name: str, prefix: str, rename: Callable[[str], tuple[str, ...]] | None
) -> tuple[str, ...]:
    """The names of what a tensor joins, mostly one."""
    plain = _canonical(name, prefix)
    return (plain,) if rename is None else rename(plain)


def _canonical(name: str, prefix: str) -> str:
    name = name.removeprefix(prefix)
    if name.endswith("LayerNorm.gamma"):
        return name.removesuffix("gamma") + "weight"
    if name.endswith("LayerNorm.beta"):
        return name.removesuffix("beta") + "bias"
    return name


def _files(folder: Path) -> dict[Path, list[str] | None]:
    """Weight files and the tensors that the index lists for each; None = all that are in it."""
    if (folder / SINGLE).is_file():
        return {folder / SINGLE: None}
    if (folder / INDEX).is_file():
        return _shards(folder)
    raise StartError(f"{folder} has no weights: {SINGLE} or {INDEX} is needed.")


def _shards(folder: Path) -> dict[Path, list[str] | None]:
    path = folder / INDEX
    index = read_json(path, _Index)
    shards: dict[Path, list[str] | None] = {}
    for name, shard in index.weight_map.items():
        # by the text of the path: a hub's cache has symbolic links out of the folder
        parts = PurePosixPath(shard).parts
        inside = parts and not shard.startswith("/") and ".." not in parts
        if not inside or "\\" in shard or ":" in shard or not shard.endswith(".safetensors"):
            raise StartError(
                f"{path}: {shown(shard)} is not a .safetensors file inside the folder."
            )
        file = folder.joinpath(*parts)
        if not file.is_file():
            raise StartError(f"{file} is missing, but {INDEX} names it; download it again.")
        listed = shards.setdefault(file, [])
        if listed is not None:
            listed.append(name)
    return shards


def _header(file: Path, most: int) -> dict[str, _Tensor]:
    """Where each of at most so many tensors lies, from a file that safetensors has found whole."""
    try:
        with file.open("rb") as stream:
            data = _header_bytes(file, stream, most)
            # copy on write: OpenVINO refuses arrays that cannot be written to, and writes to none
            mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY)
        with safe_open(file, framework="numpy"):  # checks sizes, offsets and the file's length
            pass
        entries = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
        entries.pop("__metadata__", None)
        decoded = {name: msgspec.json.decode(raw, type=_Entry) for name, raw in entries.items()}
    except (SafetensorError, msgspec.MsgspecError, ValueError) as error:
        raise _damaged(file, printable(str(error))) from error
    except OSError as error:
        raise unreadable(file, error) from error
    start = 8 + len(data)
    return {
        name: _Tensor(mapped, start + entry.data_offsets[0], entry.dtype, tuple(entry.shape))
        for name, entry in decoded.items()
    }


def _header_bytes(file: Path, stream: BinaryIO, most: int) -> bytes:
    """The header: 8 bytes say how long it is, and what it says is checked before it is believed.

    Raises:
        StartError: it is cut short, larger than any, no JSON text, or lists too many tensors.
    """
    size = int.from_bytes(stream.read(8), "little")
    there = os.fstat(stream.fileno()).st_size - 8
    if not 0 < size <= there:
        raise _damaged(file, f"its header would have {size} bytes, and {max(there, 0)} are there")
    if size > MAX_HEADER_BYTES:
        raise StartError(
            f"{file}: its header has {size} bytes; at most {MAX_HEADER_BYTES} are read. No "
            "published checkpoint is like that; use the checkpoint as its publisher has it."
        )
    data = stream.read(size)
    fault = text_fault(data)
    if fault is not None:
        raise _damaged(file, f"its header {fault}")
    count = data.count(b'"data_offsets"')
    if count > most:
        raise StartError(
            f"{file} lists {count} tensors; a folder may have {MAX_TENSORS}. No published "
            "checkpoint has as many; use the checkpoint as its publisher has it."
        )
    return data


def _damaged(file: Path, why: str) -> StartError:
    return StartError(f"{file} is damaged or cut short ({why}); download it again.")
