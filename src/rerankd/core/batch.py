"""Which rows run together: a pure plan, no clock, queue or tensor."""

from __future__ import annotations

from collections.abc import Sequence

from rerankd.core.rows import Row


def plan_batches(lengths: Sequence[int], *, max_tokens: int, max_rows: int) -> list[list[int]]:
    """Group rows, longest first, so that a padded batch costs at most `max_tokens`.

    Args:
        lengths: shape (B,), tokens per row.
        max_tokens: budget of one batch, counted as rows * longest row.
        max_rows: rows of one batch at most.

    Returns:
        Row indexes per batch, every row once. A row over the budget goes alone: refusing it is
        admission's job, not ours.
    """
    plan: list[list[int]] = []
    longest = 0
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        rows = len(plan[-1]) + 1 if plan else 0
        if not plan or rows > max_rows or rows * longest > max_tokens:
            plan.append([])
            longest = lengths[i]
        plan[-1].append(i)
    return plan


def plan_for_streams(
    lengths: Sequence[int], *, streams: int, least: int, most: int, max_rows: int
) -> list[list[int]]:
    """As plan_batches(), for streams that run side by side: none is to wait for the others.

    A few rows are cut finer than `most`, so that each stream has some. The number of batches is a
    multiple of the streams where that can be, and they are of like size.

    Args:
        lengths: shape (B,), tokens per row.
        streams: batches that run at once.
        least: tokens of a batch below which more batches cost more than an idle stream.
        most: tokens of a batch at most.
        max_rows: rows of one batch at most.
    """

    def plan(budget: int) -> list[list[int]]:
        return plan_batches(lengths, max_tokens=budget, max_rows=max_rows)

    first = plan(min(most, max(least, -(-sum(lengths) // streams))))
    wanted = len(first) // streams * streams
    if wanted == 0 or len(plan(most)) > wanted:
        wanted = -(-len(first) // streams) * streams
    low, high = least, most  # the least budget that needs no more batches shares out best
    while low < high:
        middle = (low + high) // 2
        if len(plan(middle)) > wanted:
            low = middle + 1
        else:
            high = middle
    return plan(high)


def distinct(rows: Sequence[Row]) -> tuple[list[Row], list[int]]:
    """Equal pairs are scored once: the distinct rows, and for each row the place of its twin."""
    places: dict[tuple[int, bytes], int] = {}
    unique: list[Row] = []
    inverse: list[int] = []
    for row in rows:
        place = places.setdefault(row.key(), len(unique))
        if place == len(unique):
            unique.append(row)
        inverse.append(place)
    return unique, inverse
