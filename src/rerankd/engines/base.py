"""What a runtime must do. Nothing here knows HTTP, prompts or documents: ids in, numbers out."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from rerankd.core.rows import Logits, Row, SoleText, Vectors


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineInfo:
    """What the scheduler and the start-up message need to know of an engine."""

    name: str  # "openvino", "torch", "lexical", "fake"
    device: str  # "cpu", "cuda:0"
    precision: str  # "fp32", "int8", "bf16", "fp16"
    max_length: int | None  # tokens per row, special tokens included; None = no limit
    batch_tokens: int  # what one forward() should be given: the scheduler's batch budget
    # Rows of more tokens run by Sliced.slices(), step by step; None = every row is one forward().
    slice_tokens: int | None = None
    slice_bytes: int = 0  # memory that such a row holds between its steps, per token that ran


class Engine(Protocol):
    """One loaded model on one device. Not thread-safe: the scheduler owns the one thread."""

    @property
    def info(self) -> EngineInfo:
        """What the engine is."""
        ...

    def forward(self, batch: Sequence[Row]) -> Logits:
        """Run one batch, blocking.

        Args:
            batch: B rows, 0 < L_i <= info.max_length, in any order of lengths.

        Returns:
            Shape (B, K), row i for batch[i]: logits, or features that the model weighs, always of
            one K and one float type. Independent of the other rows: within 1e-5 in fp32 whatever
            the batch-mates.

        Raises:
            EngineFailed: out of memory or a lost device; no row was answered.
        """
        ...

    def close(self) -> None:
        """Free the device. Safe to call twice."""
        ...


@runtime_checkable
class Remembering(Protocol):
    """What an engine has too if it keeps something of texts that it ran."""

    def remembered_tokens(self, batch: Sequence[Row]) -> Sequence[int]:
        """Of each row's tokens, shape (B,), how many forward() would not have to run now.

        Asked on the thread of forward(), just before it. At most row.tokens each.
        """
        ...


@runtime_checkable
class Sliced(Protocol):
    """What an engine has too if info.slice_tokens is set: long rows run as bounded steps."""

    def slices(self, row: Row) -> Generator[int, None, Logits]:
        """Run one row of more than info.slice_tokens step by step, others in between.

        Made and advanced on the thread of forward(). A step takes about 0.3 s of one core, and as
        few tokens of a large decoder as are efficient take more. It yields how many of the row's
        tokens are done with it, about info.slice_tokens; there are at most
        ceil(row.tokens / info.slice_tokens) steps, and fewer where something is remembered. After
        the last, the generator returns without more work. close() at any step frees what the row
        holds; a decoder's row holds keys and values of all tokens that ran.

        Returns:
            Shape (K,): what forward([row])[0] would be.

        Raises:
            EngineFailed: as forward().
        """
        ...


@runtime_checkable
class EmbeddingEngine(Protocol):
    """What an engine has too if it makes vectors of single texts."""

    def embed(self, batch: Sequence[SoleText]) -> Vectors:
        """Run one batch, blocking, on the thread of forward().

        Args:
            batch: B texts, 0 < L_i, as long as the model that made them allows.

        Returns:
            Shape (B, d), row i for batch[i], independent of the other rows as in forward().

        Raises:
            EngineFailed: as forward().
        """
        ...


@runtime_checkable
class ListwiseEngine(Protocol):
    """What runs rows that are whole lists of documents: each alone, as bounded steps."""

    @property
    def info(self) -> EngineInfo:
        """What the engine is; slice_tokens is set."""
        ...

    def vectors(self, row: Row) -> Generator[int, None, Vectors]:
        """Run one row of any length step by step; made, advanced and closed as Sliced.slices().

        Returns:
            Shape (V, d): a vector for each of the row's documents, and the query's behind them.
            They depend on nothing but the row: within 1e-5, however it is cut into steps.

        Raises:
            EngineFailed: as Engine.forward().
        """
        ...

    def close(self) -> None:
        """Free the device. Safe to call twice."""
        ...


AnyEngine = Engine | ListwiseEngine


def vectors_of(row: Row, engine: ListwiseEngine) -> Vectors:
    """All steps of a row, with nothing in between."""
    steps = engine.vectors(row)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value
