"""A SentencePiece model file, written: what `SentencePieceProcessor` reads from memory.

It is a protocol buffer: pieces (text, score, kind), then how the model was trained, then how texts
are normalised. Texts are not normalised here, and get no blank put before them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

_UNIGRAM: Final = 1
_UNKNOWN: Final = 2  # a piece's kind; ordinary ones say none
_ABSENT: Final = (1 << 64) - 1  # -1

Counts = npt.NDArray[np.int64]


def sentencepiece_file(
    pieces: Sequence[str], scores: npt.NDArray[np.float64], unknown: int
) -> bytes:
    """The file of a Unigram vocabulary.

    Args:
        pieces: V, by id, each of 1 to 256 bytes of UTF-8.
        scores: (V,), written as float32.
        unknown: id of the piece for unknown characters; all others are ordinary.
    """
    floats = scores.astype("<f4").view(np.uint8).reshape(len(pieces), 4)
    text = np.frombuffer("".join(pieces).encode(), np.uint8)
    characters = np.append(np.flatnonzero(text & 0xC0 != 0x80), text.size)  # where each begins
    first = np.cumsum([0, *map(len, pieces)])
    sizes = np.diff(characters[first])
    kind = _field(3, _UNKNOWN)
    within = 1 + _places(sizes) + sizes + 1 + 4
    within[unknown] += len(kind)
    ends = np.cumsum(1 + _places(within) + within)
    out = np.zeros(int(ends[-1]), np.uint8)
    at = ends - within - _places(within) - 1
    for numbers in (within, sizes):  # of the piece, and in it of its text
        out[at] = 1 << 3 | 2
        _put_numbers(out, at + 1, numbers)
        at = at + 1 + _places(numbers)
    steps = np.zeros(out.size, np.int8)
    steps[at] = 1
    at = at + sizes
    steps[at] = -1
    out[np.cumsum(steps, dtype=np.int8).view(np.bool_)] = text
    out[at] = 2 << 3 | 5
    out[at[:, None] + np.arange(1, 5)] = floats
    out[ends[unknown] - len(kind) : ends[unknown]] = list(kind)
    trained = _field(3, _UNIGRAM) + _field(4, len(pieces)) + _field(40, unknown)
    trained += b"".join(_field(special, _ABSENT) for special in (41, 42, 43))  # begin, end, padding
    # Neither a blank before the text, nor blanks left out; blanks are written as U+2581.
    normalised = _message(1, b"identity") + _field(3, 0) + _field(4, 0) + _field(5, 1)
    return b"".join((out.tobytes(), _message(2, trained), _message(3, normalised)))


def _places(numbers: Counts) -> Counts:
    """Bytes of each as a variable-length integer, of those under 2^14."""
    return 1 + (numbers > 0x7F)


def _put_numbers(out: npt.NDArray[np.uint8], at: Counts, numbers: Counts) -> None:
    """Write each at its place."""
    large = numbers > 0x7F
    out[at] = numbers & 0x7F | large << 7
    out[at[large] + 1] = numbers[large] >> 7


def _number(value: int) -> bytes:
    """A variable-length integer."""
    some = bytearray()
    while value > 0x7F:
        some.append(value & 0x7F | 0x80)
        value >>= 7
    some.append(value)
    return bytes(some)


def _field(key: int, value: int) -> bytes:
    return _number(key << 3) + _number(value)


def _message(key: int, content: bytes) -> bytes:
    return _number(key << 3 | 2) + _number(len(content)) + content
