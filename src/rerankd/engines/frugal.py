"""An encoder after whose work memory goes back to the system, every so many tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rerankd.core.rows import TokenIds
from rerankd.engines.max_sim import EncodedText
from rerankd.engines.token_vectors import Encoder


class FrugalEncoder:
    """Another encoder, and what is done now and then. Thread-safe if both are."""

    def __init__(self, encoder: Encoder, let_go: Callable[[], None], *, every_tokens: int) -> None:
        """Call `let_go` after a call with which so many tokens were encoded since the last time."""
        self._encoder, self._let_go = encoder, let_go
        self._every, self._tokens = every_tokens, 0

    def encode(self, texts: Sequence[TokenIds]) -> Sequence[EncodedText]:
        """As the encoder's."""
        found = self._encoder.encode(texts)
        self._tokens += sum(ids.size for ids in texts)  # two threads at once: one may not count
        if self._tokens >= self._every:
            self._tokens = 0
            self._let_go()
        return found

    def close(self) -> None:
        """Close the encoder."""
        self._encoder.close()
