"""What an encoder's work leaves goes back now and then, and its answers do not change."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rerankd.core.rows import TokenIds
from rerankd.engines.frugal import FrugalEncoder
from rerankd.engines.max_sim import EncodedText


class Known:
    """An encoder that gives the same for everything."""

    def __init__(self, answer: list[EncodedText]) -> None:
        self.answer, self.is_closed = answer, False

    def encode(self, texts: Sequence[TokenIds]) -> list[EncodedText]:
        return self.answer

    def close(self) -> None:
        self.is_closed = True


def test_it_lets_go_after_so_many_tokens_and_not_before() -> None:
    inner, let_go = Known([]), list[int]()
    encoder = FrugalEncoder(inner, lambda: let_go.append(1), every_tokens=10)
    for size, calls in ((4, 0), (5, 0), (1, 1), (9, 1), (1, 2), (25, 3), (9, 3), (1, 4)):
        texts = [np.zeros(size - size // 2, np.int32), np.zeros(size // 2, np.int32)]
        assert encoder.encode(texts) is inner.answer
        assert len(let_go) == calls
    encoder.close()
    assert inner.is_closed
