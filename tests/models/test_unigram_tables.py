"""Tables of a Unigram vocabulary, and the file that SentencePiece reads, against the plain way."""

from __future__ import annotations

import gzip
import json
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from sentencepiece import SentencePieceProcessor

from rerankd.models.sentencepiece_file import sentencepiece_file
from rerankd.models.unigram_model import UnigramModel
from rerankd.models.unigram_tables import JoinedCharacters, code_points, repeated_units

CUT: Final = Path(__file__).parent.parent / "data" / "xlm-roberta-cut.json.gz"
PIECES: Final = [
    piece for piece, _ in json.loads(gzip.decompress(CUT.read_bytes()))["model"]["vocab"]
]


def test_sentencepiece_reads_pieces_of_every_size_and_their_scores() -> None:
    texts = [chr(0x4E00 + size) + "x" * (size - 3) for size in range(4, 257)]
    pieces = ["<unk>", "\u2581", "a", "bc", *texts, "\U0001f600" * 64]
    scores = -np.arange(len(pieces)) / 8
    read = SentencePieceProcessor(model_proto=sentencepiece_file(pieces, scores, 0))
    ids = list(range(len(pieces)))
    assert read.id_to_piece(ids) == pieces
    assert read.get_score(ids) == scores.tolist()
    assert read.is_unknown(ids) == [True] + [False] * (len(pieces) - 1)


def test_what_a_piece_repeats_is_what_it_repeats() -> None:
    pieces = [*PIECES, "abab", "ab", "aba", "xyx", "xyxyxy", "!", "!!!!!!", "abca", "abcabd"]
    pieces = list(dict.fromkeys(pieces))

    def unit(piece: str) -> str:
        shortest = next(
            n for n in range(1, len(piece) + 1) if piece[:n] * (len(piece) // n) == piece
        )
        return piece[:shortest]

    repeated = {unit(piece) for piece in pieces if unit(piece) != piece}
    found = repeated_units(pieces, *code_points(pieces))
    assert found.size == len(pieces) + 2
    assert (found[-2:] == -1).all()
    numbers: dict[str, int] = {}
    for piece, number in zip(pieces, found.tolist(), strict=False):
        if unit(piece) in repeated:
            assert numbers.setdefault(unit(piece), number) == number >= 0
        else:
            assert number == -1
    assert len(set(numbers.values())) == len(repeated)


def test_characters_of_a_piece_are_joined_and_few_others() -> None:
    sizes, codes = code_points(PIECES)
    joined = JoinedCharacters(codes, np.repeat(np.arange(sizes.size), sizes))
    inside = {pair for piece in PIECES for pair in pairwise(piece)}
    assert all(joined.spans(*pair) for pair in inside)
    some = sorted({character for piece in PIECES for character in piece})[::7]
    others = [(a, b) for a in some for b in some[::5] if (a, b) not in inside]
    assert sum(joined.spans(*pair) for pair in others) * 50 < len(others)


@pytest.mark.parametrize(
    ("pieces", "unknown"),
    [
        (["<unk>", "\u2581", "a", "a"], 0),
        (["<unk>", "\u2581", "a", ""], 0),
        (["<unk>", "\u2581", "a", "b" * 65], 0),
        (["<unk>", "\u2581", "a", "b\u2581"], 0),
        (["<unk>", "\u2581", "a", "\u2581\u2581"], 0),
        (["<unk>", "\u2581", "a", "b c"], 0),
        (["<unk>", "\u2581", "a", "\0"], 0),
        (["<unk>", "\u2581a", "a", "b"], 0),
        (["<unk>", "\u2581", "a", "b"], 4),
        ([], 0),
    ],
)
def test_a_vocabulary_that_cannot_be_searched_is_refused(pieces: list[str], unknown: int) -> None:
    with pytest.raises(ValueError, match=r"pieces|piece|shape|empty"):
        UnigramModel(pieces, -np.arange(float(len(pieces))), unknown)


@pytest.mark.parametrize("score", [float("nan"), float("-inf"), 0.1])
def test_scores_that_are_no_float32_are_refused(score: float) -> None:
    with pytest.raises(ValueError, match="float32"):
        UnigramModel(["<unk>", "\u2581", "a"], np.array([0.0, -1.0, score]), 0)
