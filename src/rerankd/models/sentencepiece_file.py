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


def sentencepiece_file(
    pieces: Sequence[str], scores: npt.NDArray[np.float64], unknown: int
) -> bytes:
    """The file of a Unigram vocabulary.

    Args:
        pieces: V, by id, each under 120 bytes... of UTF-8.
        scores: (V,), written as float32.
        unknown: id of the piece for unknown characters; all others are ordinary.
    """
    floats = scores.astype("<f4").tobytes()
    texts = [piece.encode() for piece in pieces]
    heads = [
        _number(1 << 3 | 2) + _number(2 + size + 5) + _number(1 << 3 | 2) + _number(size)
        for size in range(257)
    ]
    parts = [
        heads[len(text)] + text + b"\x15" + floats[4 * i : 4 * i + 4]
        for i, text in enumerate(texts)
    ]
    text = texts[unknown]
    parts[unknown] = _message(
        1, _message(1, text) + b"\x15" + floats[4 * unknown : 4 * unknown + 4] + _field(3, _UNKNOWN)
    )
    trained = _field(3, _UNIGRAM) + _field(4, len(pieces)) + _field(40, unknown)
    trained += b"".join(_field(special, _ABSENT) for special in (41, 42, 43))  # begin, end, padding
    # Neither a blank before the text, nor blanks left out; blanks are written as U+2581.
    normalised = _message(1, b"identity") + _field(3, 0) + _field(4, 0) + _field(5, 1)
    return b"".join((*parts, _message(2, trained), _message(3, normalised)))


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
