"""One admitted request while its rows run: what is done, what is left, its long rows' slices."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field

import numpy as np

from rerankd.core.rows import Logits, Row


@dataclass(frozen=True, slots=True)
class Scored:
    """Logits (B, K) for the B rows of one request, and where its time went."""

    logits: Logits
    cached_tokens: Sequence[int]  # (B,): all of a row from the score cache, or the engine's number
    queue_s: float  # from admission until its first row started
    engine_s: float  # from then until its last row was done


@dataclass(frozen=True, slots=True)
class Piece:
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
    outputs: list[Logits | None]  # (K,) per row
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
        """The logits (K,) of one row; the last one answers the request."""
        self.outputs[row] = logits
        self.cached_tokens[row] = cached_tokens
        self.remaining -= 1
        if self.remaining == 0 and not self.future.done():
            self.future.set_result(self.scored(now))

    def scored(self, now: float) -> Scored:
        """The answer; every row has its logits."""
        started = self.started_at if self.started_at is not None else now
        stacked = np.stack([out for out in self.outputs if out is not None])
        return Scored(stacked, self.cached_tokens, started - self.admitted_at, now - started)

    def fail(self, error: BaseException) -> None:
        """End the request with an error, unless it has ended."""
        if not self.future.done():
            self.future.set_exception(error)


def held_tokens(work: Work, missing: Sequence[int]) -> int:
    """Tokens of the longest of some rows that runs in slices; one is open at a time."""
    sliced = {piece.row for piece in work.pieces if piece.is_slice}
    return max((work.rows[i].tokens for i in missing if i in sliced), default=0)


def cut(rows: Sequence[Row], costs: Sequence[int], slice_tokens: int | None) -> list[Piece]:
    """The pieces of rows: a row, or equal slices of a long one.

    Args:
        rows: shape (B,).
        costs: shape (B,), in tokens.
        slice_tokens: rows of more tokens run in slices; None = no row does.
    """
    pieces: list[Piece] = []
    for i, (row, cost) in enumerate(zip(rows, costs, strict=True)):
        if slice_tokens is None or row.tokens <= slice_tokens:
            pieces.append(Piece(i, cost))
            continue
        count = -(-row.tokens // slice_tokens)
        share = max(1, cost // count)
        pieces += [Piece(i, share, count)] * count
    return pieces
