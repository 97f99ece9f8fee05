"""A deterministic engine: no weights, no device. Tests, demos and documentation."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from typing import Final

import numpy as np

from rerankd.core.rows import Logits, Row, SoleText, Vectors
from rerankd.engines.base import EngineInfo

FAKE_DIMENSIONS: Final = 4


class FakeEngine:
    """A row's logit depends on its ids alone: their sum modulo 97, scaled to [-4, 4].

    It takes the time that it is told to, by `sleep`, which may be set to a virtual clock's.
    """

    def __init__(
        self,
        *,
        max_length: int | None = 512,
        batch_tokens: int = 16_384,
        slice_tokens: int | None = None,
        labels: int = 1,
        delay_s: float = 0.0,
        token_s: float = 0.0,
    ) -> None:
        """Choose sizes and speed.

        Args:
            max_length: tokens per row; None = no limit.
            batch_tokens: as EngineInfo's.
            slice_tokens: rows of more run in slices of so many; None = in one forward().
            labels: K.
            delay_s: what each forward() and each slice takes.
            token_s: what each token takes in addition.
        """
        self.info = EngineInfo(
            name="fake",
            device="cpu",
            precision="fp32",
            max_length=max_length,
            batch_tokens=batch_tokens,
            slice_tokens=slice_tokens,
        )
        # For tests to read: rows per forward(), tokens per slice, rows between two slices.
        self.batches: list[int] = []
        self.steps: list[int] = []
        self.open_slices = 0
        self.closed = False
        self._labels = labels
        self._delay_s, self._token_s = delay_s, token_s
        self.sleep: Callable[[float], None] = time.sleep  # on the engine's thread

    def forward(self, batch: Sequence[Row]) -> Logits:
        """Logits (B, K); with K > 1 the last label holds the number, the others are zero."""
        self.batches.append(len(batch))
        self._spend(sum(row.tokens for row in batch))
        return self._logits(batch)

    def embed(self, batch: Sequence[SoleText]) -> Vectors:
        """Vectors (B, FAKE_DIMENSIONS) of the ids alone: their sums, each weighted otherwise."""
        self.batches.append(len(batch))
        self._spend(sum(row.tokens for row in batch))
        sums = np.array([row.ids.sum(dtype=np.int64) for row in batch])[:, None]
        return ((sums * np.arange(1, FAKE_DIMENSIONS + 1)) % 97 / 48.0 - 1.0).astype(np.float32)

    def slices(self, row: Row) -> Generator[int, None, Logits]:
        """See engines.base.Sliced: the logits of forward(), like steps of slice_tokens at most."""
        steps = -(-row.tokens // (self.info.slice_tokens or row.tokens))
        self.open_slices += 1
        try:
            for step in range(steps):
                tokens = (step + 1) * row.tokens // steps - step * row.tokens // steps
                self._spend(tokens)
                self.steps.append(tokens)
                yield tokens
        finally:
            self.open_slices -= 1
        return self._logits([row])[0]

    def _spend(self, tokens: int) -> None:
        seconds = self._delay_s + tokens * self._token_s
        if seconds:
            self.sleep(seconds)

    def _logits(self, batch: Sequence[Row]) -> Logits:
        logits = np.zeros((len(batch), self._labels), dtype=np.float32)
        for i, row in enumerate(batch):
            logits[i, -1] = (int(row.ids.sum(dtype=np.int64)) % 97) / 12.0 - 4.0
        return logits

    def close(self) -> None:
        """Remember that it was called."""
        self.closed = True
