"""One admitted request while its rows run: what is done, what is left, its long rows' slices."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from rerankd.core.errors import EngineFailed
from rerankd.core.rows import Logits, Row
from rerankd.engines.base import AnyEngine, ListwiseEngine, Sliced
from rerankd.engines.kinds import is_a


@dataclass(frozen=True, slots=True)
class Scored:
    """What came of the B rows of one request, and where its time went."""

    outputs: Sequence[Logits]  # B of them: (K,) each, or of listwise rows (V, d)
    cached_tokens: Sequence[int]  # (B,): all of a row from the score cache, or the engine's number
    queue_s: float  # from admission until its first row started
    engine_s: float  # from then until its last row was done

    @property
    def logits(self) -> Logits:
        """Of rows that all give K numbers, (B, K)."""
        return np.stack(self.outputs)


class Piece(NamedTuple):
    """What is scheduled: a whole row, or one slice of a long one."""

    row: int
    tokens: int  # what it costs: those that the engine remembers are almost free
    of: int = 0  # slices that its row has; 0 = the row is not cut

    @property
    def is_slice(self) -> bool:
        """Whether it is one step of a long row."""
        return self.of > 0


@dataclass(slots=True, eq=False)
class Work:
    """One request's rows on their way."""

    rows: Sequence[Row]
    pieces: Sequence[Piece]
    future: asyncio.Future[Scored]
    admitted_at: float
    outputs: list[Logits | None]  # (K,) per row, or (V, d)
    cached_tokens: list[int]
    remaining: int  # rows
    until: float | None = None  # deadline
    scope: bytes = b""  # of the score cache
    started_at: float | None = None
    slices: dict[int, Generator[int, None, Logits]] = field(
        default_factory=dict[int, Generator[int, None, Logits]]
    )
    slices_done: dict[int, int] = field(default_factory=dict[int, int])  # pieces, by row

    def is_last_slice(self, piece: Piece) -> bool:
        """Counts a slice; whether no more of its row are scheduled."""
        done = self.slices_done.get(piece.row, 0) + 1
        self.slices_done[piece.row] = done
        return done >= piece.of

    def store(self, row: int, logits: Logits, *, cached_tokens: int, now: float) -> None:
        """What came of one row; the last one answers the request."""
        self.outputs[row] = logits
        self.cached_tokens[row] = cached_tokens
        self.remaining -= 1
        if self.remaining == 0 and not self.future.done():
            self.future.set_result(self.scored(now))

    def scored(self, now: float) -> Scored:
        """The answer; every row has its logits."""
        started = self.started_at if self.started_at is not None else now
        outputs = [out for out in self.outputs if out is not None]
        return Scored(outputs, self.cached_tokens, started - self.admitted_at, now - started)

    def fail(self, error: BaseException) -> None:
        """End the request with an error, unless it has ended."""
        if not self.future.done():
            self.future.set_exception(error)


def held_tokens(work: Work, missing: Sequence[int]) -> int:
    """Tokens of the longest of some rows that runs in slices; one is open at a time."""
    sliced = {piece.row for piece in work.pieces if piece.is_slice}
    return max((work.rows[i].tokens for i in missing if i in sliced), default=0)


def cut(rows: Sequence[Row], costs: Sequence[int], engine: AnyEngine) -> list[Piece]:
    """The pieces of rows: a row, or equal slices of a long one; listwise ones are always cut.

    Args:
        rows: shape (B,).
        costs: shape (B,), in tokens.
        engine: that runs them; rows of more than its info.slice_tokens run in slices.
    """
    slice_tokens = engine.info.slice_tokens
    whole = 0 if is_a(engine, ListwiseEngine) else slice_tokens
    if whole is None or (whole and all(row.tokens <= whole for row in rows)):
        return [Piece(i, cost) for i, cost in enumerate(costs)]
    pieces: list[Piece] = []
    for i, (row, cost) in enumerate(zip(rows, costs, strict=True)):
        if slice_tokens is None or row.tokens <= whole:
            pieces.append(Piece(i, cost))
            continue
        count = -(-row.tokens // slice_tokens)
        share = max(1, cost // count)
        pieces += [Piece(i, share, count)] * count
    return pieces


def step(work: Work, i: int, engine: AnyEngine) -> Logits | None:
    """On the engine's thread: one step of row i; what came of it, (K,) or (V, d), after the last.

    Raises:
        EngineFailed, or whatever the engine raised.
    """
    slices = work.slices.get(i)
    if slices is None:
        slices = work.slices[i] = _opened(work.rows[i], engine)
    try:
        next(slices)
    except BaseException as done:
        del work.slices[i]
        if isinstance(done, StopIteration):
            return done.value
        raise
    return None


def _opened(row: Row, engine: AnyEngine) -> Generator[int, None, Logits]:
    if is_a(engine, ListwiseEngine):
        return engine.vectors(row)
    if is_a(engine, Sliced):
        return engine.slices(row)
    raise EngineFailed(f"{engine.info.name} has slice_tokens and no slices().")


def close_slices(ended: Sequence[Work]) -> None:
    """On the engine's thread: free what long rows held that nobody waits for."""
    for work in ended:
        for slices in work.slices.values():
            slices.close()
        work.slices.clear()


def checked(outputs: Sequence[Logits]) -> Sequence[Logits]:
    """What came of rows. Raises EngineFailed where a number is not finite."""
    if not all(np.isfinite(output).all() for output in outputs):
        raise EngineFailed("The engine gave a logit that is not finite.")
    return outputs
