"""A deterministic engine: no weights, no device. Tests, demos and documentation."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from rerankd.core.types import Logits, Row
from rerankd.engines.base import EngineInfo


class FakeEngine:
    """A row's logit depends on its ids alone: their sum modulo 97, scaled to [-4, 4]."""

    def __init__(
        self,
        *,
        max_length: int | None = 512,
        batch_tokens: int = 16_384,
        labels: int = 1,
        delay_s: float = 0.0,
    ) -> None:
        self.info = EngineInfo(
            name="fake",
            device="cpu",
            precision="fp32",
            max_length=max_length,
            batch_tokens=batch_tokens,
        )
        self.batches: list[int] = []  # rows per forward(), for tests to read
        self.closed = False
        self._labels = labels
        self._delay_s = delay_s

    def forward(self, batch: Sequence[Row]) -> Logits:
        """Logits (B, K); with K > 1 the last label holds the number, the others are zero."""
        self.batches.append(len(batch))
        if self._delay_s:
            time.sleep(self._delay_s)
        logits = np.zeros((len(batch), self._labels), dtype=np.float32)
        for i, row in enumerate(batch):
            logits[i, -1] = (int(row.ids.sum(dtype=np.int64)) % 97) / 12.0 - 4.0
        return logits

    def close(self) -> None:
        """Remember that it was called."""
        self.closed = True
