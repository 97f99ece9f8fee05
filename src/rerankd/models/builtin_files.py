"""The files of a model that is installed, not pulled: checked by SHA-256 before they are used.

A folder holds config.json, which names the others with their SHA-256, model.safetensors,
ranges.safetensors (what the inputs of the encoder's layers are over many texts), and
tokenizer.json. What is missing or damaged is mended by another installation: every error says how.
"""

from __future__ import annotations

import hashlib
import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Protocol, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta

from rerankd.core.errors import StartError
from rerankd.engines.encoder import (
    EncoderConfig,
    FourBitRows,
    InputRanges,
    Int8Rows,
    Ranges,
    range_shapes,
)
from rerankd.engines.frugal import FrugalEncoder
from rerankd.engines.token_vectors import Encoder
from rerankd.models.cause import unreadable

CONFIG: Final = "config.json"
WEIGHTS: Final = "model.safetensors"
RANGES: Final = "ranges.safetensors"
TOKENIZER: Final = "tokenizer.json"
SCALE: Final = ".scale"  # NAME int8 (N, h) and NAME.scale float32 (N,)
FOUR_BITS: Final = ".q4"  # NAME.q4 uint8 (N, h / 2) and NAME.scale float16 (N, h / 32)

_DTYPES: Final = {"F32": np.float32, "F16": np.float16, "I8": np.int8, "U8": np.uint8}
_LET_GO_TOKENS: Final = 1_024  # of word embeddings, 30 MB may be read meanwhile; it takes 1 ms
_HEADER_LIMIT: Final = 1 << 20

Size = Annotated[int, Meta(ge=1)]


class Sizes(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The encoder's sizes; names as in transformers' config.json."""

    hidden_size: Size
    num_hidden_layers: Size
    num_attention_heads: Size
    intermediate_size: Size
    vocab_size: Size
    max_position_embeddings: Size
    type_vocab_size: Size
    layer_norm_eps: Annotated[float, Meta(gt=0)]

    def encoder(self) -> EncoderConfig:
        """As the graph builder wants them."""
        return EncoderConfig(
            architecture="bert",
            hidden=self.hidden_size,
            layers=self.num_hidden_layers,
            heads=self.num_attention_heads,
            intermediate=self.intermediate_size,
            vocab=self.vocab_size,
            positions=self.max_position_embeddings,
            token_types=self.type_vocab_size,
            layer_norm_eps=self.layer_norm_eps,
            labels=0,
            pad_id=0,
        )


class Described(Protocol):
    """A config.json."""

    @property
    def sha256(self) -> dict[str, str]:
        """Of the other files, by name."""
        ...


class _Place(msgspec.Struct, frozen=True):
    """A tensor in the header of a safetensors file."""

    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


C = TypeVar("C", bound=Described)


@dataclass(frozen=True, slots=True)
class Folder:
    """Where a model's files are."""

    path: Path
    mend: str  # what to do about damage, as a sentence

    def damaged(self, name: str, why: str) -> StartError:
        """The error of a file that cannot be used."""
        return StartError(f"{self.path / name} cannot be used ({why}): {self.mend}")

    def config(self, form: type[C]) -> C:
        """config.json, after the files that it names were found to be whole.

        Raises:
            StartError: one is missing or damaged.
        """
        try:
            config = msgspec.json.decode((self.path / CONFIG).read_bytes(), type=form)
            for name in (WEIGHTS, RANGES, TOKENIZER):
                with (self.path / name).open("rb") as file:
                    found = hashlib.file_digest(file, "sha256").hexdigest()
                if found != config.sha256.get(name):
                    raise self.damaged(name, "its SHA-256 is not the one in config.json")
        except FileNotFoundError as error:
            raise StartError(f"{error.filename} is missing: {self.mend}") from error
        except OSError as error:
            raise unreadable(Path(error.filename or self.path), error) from error
        except msgspec.MsgspecError as error:
            raise self.damaged(CONFIG, str(error)) from error
        return config


class Tensors:
    """model.safetensors, or another such file, mapped; an engines.encoder Weights.

    Matrices are stored as int8 rows, or in four bits, which become int8 rows here, or as float32;
    vectors as float32. What is mapped is in memory only where it is read.
    """

    def __init__(self, folder: Folder, name: str = WEIGHTS) -> None:
        """Map the file and read its header. Raises StartError."""
        self._folder, self._name = folder, name
        try:
            with (folder.path / name).open("rb") as file:
                self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        except (OSError, ValueError) as error:
            raise folder.damaged(name, str(error)) from error
        size = int.from_bytes(self._data[:8], "little")
        self._first = 8 + size
        try:
            header = msgspec.json.decode(self._data[8 : 8 + min(size, _HEADER_LIMIT)])
            header.pop("__metadata__", None)
            self._places = msgspec.convert(header, dict[str, _Place])
        except (msgspec.MsgspecError, AttributeError) as error:
            raise folder.damaged(name, str(error)) from error

    def __call__(self, name: str) -> npt.NDArray[np.float32] | Int8Rows:
        """One tensor of the graph."""
        if name + FOUR_BITS in self._places:
            return int8(self.four_bits(name))
        if name in self._places and self._places[name].dtype == "I8":
            return Int8Rows(self.plain(name, np.int8), self.plain(name + SCALE, np.float32))
        return self.plain(name, np.float32)

    def four_bits(self, name: str) -> FourBitRows:
        """A matrix as it is stored."""
        return FourBitRows(
            self.plain(name + FOUR_BITS, np.uint8), self.plain(name + SCALE, np.float16)
        )

    def shape(self, name: str) -> tuple[int, ...] | None:
        """Of a tensor as it is meant; None = it is not there."""
        packed = self._places.get(name + FOUR_BITS)
        if packed is not None:
            return (packed.shape[0], 2 * packed.shape[1])
        return self._places[name].shape if name in self._places else None

    def expect(self, shapes: dict[str, tuple[int, ...]]) -> None:
        """Refuse a file that lacks a tensor of such a shape. Raises StartError."""
        for name, shape in shapes.items():
            if self.shape(name) != shape:
                why = f"{name} is missing or not of shape {list(shape)}"
                raise self._folder.damaged(self._name, why)

    def frugal(self, encoder: Encoder) -> Encoder:
        """An encoder that is made of these: what it read of the file need not stay in memory."""
        self.let_go()  # of matrices it has its own
        return FrugalEncoder(encoder, self.let_go, every_tokens=_LET_GO_TOKENS)

    def let_go(self) -> None:
        """Nothing of the file is in memory then; what is read again comes from the file."""
        if hasattr(mmap, "MADV_DONTNEED"):  # not on Windows
            self._data.madvise(mmap.MADV_DONTNEED)

    def plain(self, name: str, dtype: type[np.generic]) -> npt.NDArray[Any]:
        """One tensor as it is stored."""
        place = self._places.get(name)
        if place is None or _DTYPES.get(place.dtype) is not dtype:
            why = f"{name} is missing or not {np.dtype(dtype).name}"
            raise self._folder.damaged(self._name, why)
        start, end = (self._first + offset for offset in place.data_offsets)
        try:
            size = (end - start) // np.dtype(dtype).itemsize
            return np.frombuffer(self._data, dtype, size, start).reshape(place.shape)
        except ValueError as error:
            raise self._folder.damaged(self._name, f"{name}: {error}") from error


def read_ranges(folder: Folder, config: EncoderConfig) -> Ranges:
    """Of the inputs of an encoder's layers: NAME float16 (3, inputs), lowest, highest, mean.

    Raises:
        StartError: one is missing.
    """
    tensors = Tensors(folder, RANGES)
    tensors.expect({name: (3, inputs) for name, inputs in range_shapes(config).items()})

    def ranges(name: str) -> InputRanges:
        low, high, mean = tensors.plain(name, np.float16).astype(np.float32)
        return InputRanges(low, high, mean)

    return ranges


def int8(matrix: FourBitRows) -> Int8Rows:
    """A matrix in four bits as int8 rows, a scale for each."""
    rows = matrix.rows(slice(None))
    scales = np.maximum(np.abs(rows).max(axis=1), np.float32(1e-12)) / np.float32(127)
    return Int8Rows(np.rint(rows / scales[:, None]).astype(np.int8), scales)
